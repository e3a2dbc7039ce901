package wasmbin_test

import (
	"strings"
	"testing"

	"github.com/wirehost/wirehost/internal/wasmbin"
)

// What a module says of itself, however little, and whatever it is.
func TestSDKAndToolchain(t *testing.T) {
	section := func(name, data string) wasmbin.Module {
		return wasmbin.Module{Custom: []wasmbin.Custom{{Name: name, Data: []byte(data)}}}
	}
	data := func(text string) wasmbin.Module {
		return wasmbin.Module{Data: []wasmbin.Data{{}, {Init: []byte(text)}}}
	}
	for _, c := range []struct {
		name           string
		m              wasmbin.Module
		sdk, toolchain string
	}{
		{"nothing", wasmbin.Module{}, "", ""},
		{"C", section("wirehost_sdk", "C 0.1.0"), "C 0.1.0", ""},
		{"stripped Zig", section("wirehost_sdk", "Zig 0.1.0"), "Zig 0.1.0", "Zig"},
		{"Zig with its names", section(".debug_str", "a\x00zig 0.17.1\x00b"), "", "Zig 0.17.1"},
		{"AssemblyScript", data("x\x00wirehost_sdk:AssemblyScript 0.1.0\n"), "AssemblyScript 0.1.0", "AssemblyScript"},
		{"AssemblyScript, cut off", data("wirehost_sdk:AssemblyScript 0.1.0"), "", ""},
		{"Go, all of wirehost", data("path\tx\nmod\tgithub.com/wirehost/wirehost\t(devel)\t\n"), "Go (devel)", ""},
		{"Go, the SDK", data("mod\tx\t(devel)\t\ndep\tgithub.com/wirehost/wirehost/sdk/go\tv0.1.0\n=>\t./wirehost"),
			"Go 0.1.0", ""},
		{"Go, another module", data("\ndep\tgithub.com/wirehost/wirehost/other\tv0.1.0\n"), "", ""},
		{"a long name", section("wirehost_sdk", strings.Repeat("a", 1000)), strings.Repeat("a", 64), ""},
		{"a long name in data", data("wirehost_sdk:" + strings.Repeat("a", 1000) + "\n"), "", ""},
	} {
		if sdk, toolchain := c.m.SDK(), c.m.Toolchain(); sdk != c.sdk || toolchain != c.toolchain {
			t.Errorf("%s: found %q and %q, wanted %q and %q", c.name, sdk, toolchain, c.sdk, c.toolchain)
		}
	}
}
