// Command outside is a guest that tries to reach outside.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

type outside struct{ wirehost.Base }

func (p *outside) DataReceived(data []byte) {
	if string(data) == "config" {
		b, err := p.Reactor().ConfigJSON()
		if err != nil {
			b = []byte(err.Error())
		}
		_, _ = p.Transport.Write(append(b, '\n'))
		return
	}
	var out strings.Builder
	try := func(what string, err error) {
		answer := "yes"
		if err != nil {
			answer = "no"
		}
		fmt.Fprintf(&out, "%s: %s\n", what, answer)
	}
	_, err := os.ReadFile("/etc/passwd")
	try("read", err)
	try("write", os.WriteFile("/tmp/outside", []byte("x"), 0o600))
	try("mkdir", os.Mkdir("/tmp/outside.d", 0o700))
	_, err = os.ReadDir("/")
	try("list", err)
	fmt.Fprintf(&out, "environ: %d\nargs: %d\n", len(os.Environ()), len(os.Args))
	_, err = net.Dial("tcp", "127.0.0.1:80")
	try("dial", err)
	_, _ = p.Transport.WriteString(out.String())
}

func init() {
	wirehost.Register(wirehost.FactoryFunc(func(*wirehost.Transport) wirehost.Protocol { return new(outside) }))
}

func main() {}
