package sdk_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

var table = flag.String("table", "", "write what was built and how it did to this file, such as TABLE.md")

// results counts what the tests found out, for the table.
var results struct {
	sync.Mutex
	tests map[[2]string]score // by column and language
}

type score struct{ passed, all int }

func (s score) String() string {
	switch {
	case s.all == 0:
		return "-"
	case s.passed == s.all:
		return fmt.Sprintf("all %d", s.all)
	}
	return fmt.Sprintf("**%d of %d**", s.passed, s.all)
}

const (
	columnConformance = "conformance"
	columnLines       = "line cases"
	columnMoves       = "moves"
	columnTransports  = "transports"
)

// count has a test's outcome in the table.
func count(column string, l language, passed bool) {
	results.Lock()
	defer results.Unlock()
	if results.tests == nil {
		results.tests = map[[2]string]score{}
	}
	s := results.tests[[2]string{column, l.name}]
	if s.all++; passed {
		s.passed++
	}
	results.tests[[2]string{column, l.name}] = s
}

const tableHead = `# The same guests in every language

Bytes of each .wasm, and how it did. ` + "`go test ./sdk/guests -table TABLE.md`" + ` writes this page.

- bare echo is on the bare ABI, without an SDK; the others use it.
- conformance: guests that pass [host/conformance](../../host/conformance) in each isolation.
- line cases: those of linereceiver, each whole, cut at every offset and byte by byte.
- moves: reloads of a running counter to and from another language; its connections, its count and its
  half line come along.
- transports: cases of datagrams, listeners of the guest's own, plugins behind plugins, handing over, TLS as a
  client, time and chance.

`

// writeTable writes the page. A guest that was not built has no size.
func writeTable(file string) error {
	var b strings.Builder
	b.WriteString(tableHead)
	guests := []string{bareEcho, echo, lineReceiver, counter}
	columns := []string{columnConformance, columnLines, columnMoves, columnTransports}
	fmt.Fprintf(&b, "| language | bare echo | %s | %s | built with |\n", strings.Join(guests[1:], " | "),
		strings.Join(columns, " | "))
	fmt.Fprintf(&b, "|---|%s---|\n", strings.Repeat("---:|", len(guests)+len(columns)))
	for _, l := range languages() {
		fmt.Fprintf(&b, "| %s ", l.name)
		for _, guest := range guests {
			cell := "-"
			if info, err := os.Stat(l.path(guest)); err == nil {
				cell = fmt.Sprint(info.Size())
			}
			fmt.Fprintf(&b, "| %s ", cell)
		}
		for _, column := range columns {
			fmt.Fprintf(&b, "| %v ", results.tests[[2]string{column, l.name}])
		}
		with := toolchainOf(l)
		if with.err != nil {
			with.version = "not installed"
		}
		fmt.Fprintf(&b, "| %s |\n", with.version)
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// The page has a row for each language.
func TestTablePage(t *testing.T) {
	page, err := os.ReadFile("TABLE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range languages() {
		if !strings.Contains(string(page), "\n| "+l.name+" | ") {
			t.Errorf("TABLE.md: no row for %s: go test ./sdk/guests -table TABLE.md", l.name)
		}
	}
}
