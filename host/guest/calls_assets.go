package guest

import (
	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
	"github.com/wirehost/wirehost/internal/assets"
)

// assetsPart is how much of a file is copied between two looks at the clock, in bytes: a
// tenth of a millisecond.
const assetsPart = 1 << 20

func assetsCount(i *Instance, stack []uint64) {
	stack[0] = api.EncodeI32(int32(len(i.guest.assets.Files())))
}

// assetOf finds the file that a call is about, or leaves its status.
func assetOf(i *Instance, stack []uint64) (assets.File, bool) {
	files, n := i.guest.assets.Files(), uint32(stack[0])
	if uint64(n) >= uint64(len(files)) {
		fail(stack, abi.EINVAL)
		return assets.File{}, false
	}
	return files[n], true
}

func assetsName(i *Instance, stack []uint64) {
	if f, ok := assetOf(i, stack); ok {
		stack[0] = give(i, "assets.name", uint32(stack[1]), uint32(stack[2]), []byte(f.Name))
	}
}

func assetsSize(i *Instance, stack []uint64) {
	if f, ok := assetOf(i, stack); ok {
		stack[0] = api.EncodeI32(int32(len(f.Content)))
	}
}

func assetsRead(i *Instance, stack []uint64) {
	to := view(i, "assets.read", uint32(stack[2]), uint32(stack[3]))
	f, ok := assetOf(i, stack)
	if !ok {
		return
	}
	offset := api.DecodeI32(stack[1])
	if offset < 0 {
		fail(stack, abi.EINVAL)
		return
	}
	from := f.Content[min(int(offset), len(f.Content)):]
	copied := 0
	for copied < min(len(from), len(to)) {
		if len(to) > longRange {
			i.guard.Check()
		}
		end := min(copied+assetsPart, len(from))
		copied += copy(to[copied:], from[copied:end])
	}
	stack[0] = api.EncodeI32(int32(copied))
}
