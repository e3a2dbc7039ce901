package command

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	ours   = "github.com/wirehost/wirehost/"
	wazero = "github.com/tetratelabs/wazero"
)

// arrows say which of our packages, and which of wazero's, a package may
// import, by prefix. A package is under the longest name that fits.
var arrows = map[string][]string{
	"abi":     {},
	"reactor": {"internal/tlsrecord"},
	"host": {
		"host/config", "host/guest", "internal/assets", "internal/bounded", "internal/credentials", "internal/fetch",
		"internal/meter", "internal/route", "reactor",
	},
	"host/config": {"internal/route", "reactor"},
	"host/guest": {
		"abi", "host/guest", "internal/assets", "internal/gate", "internal/meter", "reactor", wazero,
	},
	"host/guest/internal/compile": {
		"abi", "internal/bounded", "internal/gate", "internal/jumps", "internal/wasmbin", "internal/meter", wazero,
	},
	"host/conformance": {"host", "internal/memnet", "internal/transcript"},
	"host/admin": {
		"host", "reactor", "internal/build", "internal/changes", "internal/lines", "internal/logqueue",
	},
	"host/operate": {
		"host", "internal/assets", "internal/build", "internal/bounded", "internal/changes", "internal/credentials",
		"internal/handover", "internal/lines", "internal/logqueue",
		"internal/traces", "internal/watch",
	},
	"internal/assets":      {"abi", "internal/bounded"},
	"internal/bounded":     {},
	"internal/build":       {"abi"},
	"internal/boundedtest": {"internal/bounded"},
	"internal/certtest":    {},
	"internal/changes":     {"host"},
	"internal/credentials": {"internal/bounded"},
	"internal/fetch":       {},
	"internal/handover":    {},
	"internal/heapfloor":   {},
	"internal/lines":       {"host"},
	"internal/logqueue":    {},
	"internal/memnet":      {"reactor"},
	"internal/reactortest": {"internal/script", "reactor"},
	"internal/route":       {},
	"internal/script":      {},
	"internal/simulator":   {"internal/memnet", "internal/tlsrecord", "reactor"},
	"internal/sdkgen":      {"abi"},
	"internal/tlsrecord":   {},
	"internal/tlspeers":    {},
	"internal/tooltest":    {},
	"internal/traces":      {"host", "reactor"},
	"internal/transcript":  {"host", "internal/memnet", "reactor"},
	"internal/watch":       {"internal/assets", "internal/bounded"},
	"internal/wasmbin":     {"abi"},
	"internal/wasmbintest": {"internal/wasmbin"},
	"internal/gate":        {"internal/wasmbin"},
	"internal/jumps":       {"internal/wasmbin"},
	"internal/meter":       {"internal/wasmbin", wazero},
	"internal/manual":      {"internal/command"},
	"internal/command":     {"abi", "reactor", "host", "internal", "plugins", "sdk"},
	"cmd":                  {"internal/command"},
	"plugins":              {},
	"plugins/echo":         {"sdk/go"},
	"plugins/linereceiver": {"sdk/go"},
	"sdk":                  {},
	"sdk/go":               {},
	"sdk/go/datagram":      {"sdk/go"},
	"sdk/go/sdktest":       {"sdk/go"},
	"sdk/go/wirenet":       {"sdk/go"},
	"examples":             {"sdk/go", "examples"},
	"examples/embed":       {"host"}, // a server, and no guest
}

// forTests are packages that only tests import, and one another.
var forTests = []string{
	"examples/internal/exampletest", "host/conformance", "internal/boundedtest", "internal/certtest",
	"internal/reactortest", "internal/script", "internal/simulator", "internal/tooltest", "internal/wasmbintest",
	"sdk/go/sdktest",
}

// TestArrows holds the imports of everything but tests against the house's plan.
func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, ours+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], ours)
		allowed, ok := rule(pkg)
		if !ok {
			t.Errorf("%s has no place in the plan", pkg)
		}
		for _, im := range words[1:] {
			seen++
			if !fine(pkg, im, allowed) {
				t.Errorf("%s imports %s", pkg, im)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d imports were seen", seen)
	}
}

func rule(pkg string) (allowed []string, ok bool) {
	for name := pkg; name != "."; {
		if allowed, ok = arrows[name]; ok {
			return allowed, true
		}
		at := strings.LastIndexByte(name, '/')
		if at < 0 {
			break
		}
		name = name[:at]
	}
	return nil, false
}

func fine(pkg, im string, allowed []string) bool {
	name, isOurs := strings.CutPrefix(im, ours)
	switch {
	case slices.Contains(forTests, name) && !slices.Contains(forTests, pkg):
		return false
	case name == "internal/memnet": // no server runs over it: whoever may import it is named
		return slices.Contains(allowed, name)
	case isOurs:
		for _, a := range allowed {
			if name == a || strings.HasPrefix(name, a+"/") {
				return true
			}
		}
		return strings.HasPrefix(name, pkg+"/") && pkg != "reactor" && pkg != "abi"
	case strings.HasPrefix(im, wazero):
		for _, a := range allowed {
			if a == wazero {
				return true
			}
		}
		return false
	case strings.HasPrefix(pkg, "sdk") || pkg == "abi" || strings.HasPrefix(pkg, "plugins"):
		return !strings.Contains(strings.Split(im, "/")[0], ".") // the standard library
	}
	return true
}
