package operate

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/renameio/v2/maybe"
	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/admin"
	"github.com/wirehost/wirehost/host/config"
)

// keeper keeps a server's state, in a folder of its own where it has one. Any goroutine.
type keeper struct {
	log hclog.Logger

	mu       sync.Mutex
	state    state
	imported bool          // by importState: the file's is older
	base     config.Config // that was read last, without changes by administrators
	server   string        // the administration's endpoint
	dir      string        // "" = none
	unlock   func() error  // nil = another process has the folder
	lent     bool          // one takes over from this one, which changes nothing there meanwhile
	why      error         // why nothing is kept; nil = it is
}

const (
	stateFile  = "state.json"
	modulesDir = "modules"
	maxEvents  = 100       // of a plugin that history has
	maxPlugins = 1000      // plugins that it has
	maxState   = 256 << 20 // bytes of the file
)

// stateDir is the folder of all servers' state; "" = none.
func stateDir(dir string, getenv func(string) string) string {
	switch {
	case dir == "off":
		return ""
	case dir != "":
		return dir
	}
	if first, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); filepath.IsAbs(first) { // systemd.exec(5)
		return first
	}
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) { // the XDG specification demands that
		return filepath.Join(base, "wirehost")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "wirehost")
	}
	return ""
}

// open takes the server's folder, and reads what is there. It fails nothing: why there is
// no state is told to who wants to keep something. server is the administration's
// endpoint; "" = there is none.
func (k *keeper) open(cfg config.State, server string, getenv func(string) string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	base := stateDir(cfg.Dir, getenv)
	k.why = nil
	switch {
	case cfg.Dir == "off":
		k.why = errors.New("state.dir is off")
	case base == "":
		k.why = errors.New("found no folder for it: state.dir, $STATE_DIRECTORY, $XDG_STATE_HOME and $HOME say none")
	case server == "" && cfg.Dir == "":
		k.why = errors.New("the server has no administration, by whose endpoint states are told apart")
	}
	if k.why != nil {
		k.log.Debug("no state is kept", "err", k.why)
		return
	}
	k.server = server
	k.dir = filepath.Join(base, fmt.Sprintf("%x", sha256.Sum256([]byte(server)))[:12])
	if k.lock(); k.why != nil && !k.imported { // else the process before has it for a while
		k.log.Warn("no state is kept: what is pinned or saved ends with this process", "err", k.why)
	}
	k.read()
}

// lock takes the folder for this process. k.mu is held.
func (k *keeper) lock() {
	k.why = os.MkdirAll(k.dir, 0o700)
	if k.why == nil {
		k.unlock, k.why = lockFile(filepath.Join(k.dir, "lock"))
	}
}

// read reads the file. k.mu is held.
func (k *keeper) read() {
	if k.imported {
		return
	}
	path := filepath.Join(k.dir, stateFile)
	text, err := readAtMost(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var st state
	if err == nil {
		st, err = parseState(text)
	}
	if err == nil {
		k.state = st
		return
	}
	k.log.Warn("the state can't be read: no version is pinned and no plugin is loaded or left out by it",
		"file", path, "err", err)
	if k.unlock != nil {
		if err := os.Rename(path, path+".damaged"); err != nil {
			k.log.Warn("the state that can't be read will be written over", "err", err)
			return
		}
		k.log.Warn("the state that can't be read was put aside", "file", path+".damaged")
	}
}

func readAtMost(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > most || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("found %s of %d bytes, wanted a file of at most %d", info.Mode().Type(), info.Size(),
			most)
	}
	return os.ReadFile(path)
}

// modules is the folder of modules' copies, and whether this process has the state.
func (k *keeper) modules() (dir string, ours bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dir == "" {
		return "", false
	}
	return filepath.Join(k.dir, modulesDir), !k.lent && k.have() == nil
}

// resumed is what the host is to begin with.
func (k *keeper) resumed() host.Resumed {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.state
	st.Saved, st.Removed = maps.Clone(st.Saved), maps.Clone(st.Removed)
	cfg, _ := st.apply(k.base, func(string) bool { return k.imported }) // else they are loaded one by one
	for _, name := range st.Unloaded {
		cfg = withoutPlugin(cfg, name)
	}
	for _, name := range slices.Sorted(maps.Keys(st.Loaded)) {
		cfg = withPlugin(cfg, name, st.Loaded[name])
	}
	kept := map[string][]host.Kept{}
	for name, list := range st.Kept {
		_, runs := cfg.Plugins[name]
		if _, saved := st.Saved[name]; runs || saved {
			kept[name] = list
		}
	}
	return host.Resumed{Pins: st.Pins, Kept: kept, Config: cfg}
}

// have is nil where this process has the folder; it tries to get it, since the one that had
// it may have left it. k.mu is held.
func (k *keeper) have() error {
	if k.dir != "" && k.unlock == nil && !k.lent {
		k.lock()
	}
	return k.why
}

// canSave is why nothing is kept; nil = it is.
func (k *keeper) canSave() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.have()
}

// write replaces the file, with the pins that hold and the versions that are kept. k.mu is
// held.
func (k *keeper) write(pins map[string]host.Pin, kept map[string][]host.Kept) error {
	if err := k.have(); err != nil {
		return err
	}
	st := k.state
	st.Format, st.Server, st.Pins, st.Kept = stateFormat, k.server, pins, kept
	st.Loaded, st.Unloaded = nil, nil
	text, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		return err
	}
	return maybe.WriteFile(filepath.Join(k.dir, stateFile), append(text, '\n'), 0o600)
}

// note adds to the history. k.mu is held.
func (k *keeper) note(plugin string, e admin.Event) {
	list, known := k.state.History[plugin]
	if !known && len(k.state.History) >= maxPlugins {
		return
	}
	if n := len(list); n > 0 && e.Outcome == "started" && list[n-1].Outcome == e.Outcome &&
		list[n-1].Version == e.Version {
		list = list[:n-1] // a server that is started again and again is to push nothing out
	}
	list = append(slices.Clone(list), e)
	k.state.History[plugin] = list[max(0, len(list)-maxEvents):]
}

// errLent is why nothing is kept once another process has the folder that takes over.
var errLent = errors.New("another process takes over")

// lend has this process change no copies of modules, beside which one that takes over puts its
// own, until takeBack; all: nor anything else, since that one has the folder.
func (k *keeper) lend(all bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lent = true
	if all {
		k.letGo(errLent)
	}
}

// takeBack is for a process that goes on, where what was to take over has ended.
func (k *keeper) takeBack() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lent = false
}

// release leaves the folder to another process.
func (k *keeper) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.letGo(errors.New("the server is ending")) || k.lent {
		k.dir = ""
	}
}

// letGo unlocks the folder, where this process has it. k.mu is held.
func (k *keeper) letGo(why error) bool {
	if k.unlock == nil {
		return false
	}
	if err := k.unlock(); err != nil {
		k.log.Warn("letting go of the state", "err", err)
	}
	k.unlock, k.why = nil, why
	return true
}
