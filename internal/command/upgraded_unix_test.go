//go:build unix

package command

import (
	"crypto/tls"
	le "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wirehost/wirehost/host"
)

// upgraded is a server that is upgraded, with streams that count.
type upgraded struct {
	t         *testing.T
	p         *process
	dir       string
	ports     []string // addresses
	cert, key string   // files
	pid       int

	stop      chan struct{}
	mayBreak  atomic.Bool // streams may be reset, and nothing else
	broke     atomic.Int64
	streaming sync.WaitGroup
	exchanged atomic.Int64
	worst     [2]atomic.Int64 // ns: of those that move, and the others
	connected atomic.Int64
}

// upgradedIn is a server to be, with what a configuration needs.
func upgradedIn(t *testing.T) *upgraded {
	t.Helper()
	dir := shortDir(t)
	u := &upgraded{t: t, dir: dir, stop: make(chan struct{}), ports: ownPorts(t, 9)}
	u.cert, u.key = testCertificate(t, dir)
	return u
}

// shortDir is a temporary folder with a path that is short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wirehost-upgrade-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// configure writes the configuration, behind an administration: in it, $dir is a folder,
// $cert and $key are files, and $0 to $8 free addresses.
func (u *upgraded) configure(text string) {
	u.t.Helper()
	text = os.Expand("admin: {listen: \"unix://$dir/admin.sock\"}\n"+text, func(name string) string {
		if n, err := strconv.Atoi(name); err == nil {
			return u.ports[n]
		}
		return map[string]string{"dir": u.dir, "cert": u.cert, "key": u.key}[name]
	})
	replace(u.t, filepath.Join(u.dir, "c.yaml"), []byte(text))
}

// start starts the server.
func (u *upgraded) start() {
	u.t.Helper()
	u.p = startIn(u.t, nil, "serve", "--config="+u.dir+"/c.yaml")
	u.pid = u.p.cmd.Process.Pid
	u.killLast()
	u.p.await("ready")
}

// startUpgraded starts a server with connections of many kinds. more is put behind its
// configuration.
func startUpgraded(t *testing.T, more string) *upgraded {
	t.Helper()
	u := upgradedIn(t)
	u.configure(`
plugins:
  loop: {module: "builtin:echo", drain: 20m}
  each: {module: "builtin:echo", isolation: connection, drain: 20m}
listeners:
  - {endpoint: "tcp://$0", plugin: loop}
  - {endpoint: "tcp://$1", plugin: each}
  - {endpoint: "tls://$2", plugin: each, tls: {cert: "$cert", key: "$key"}}
  - {endpoint: "tls://$3", plugin: loop, tls: {cert: "$cert", key: "$key"}}
  - {endpoint: "unix://$dir/echo.sock", plugin: loop}
` + more)
	u.start()
	return u
}

// killLast ends the last process at the end of a test that has failed: it would hold the log open.
func (u *upgraded) killLast() {
	u.t.Cleanup(func() {
		if u.p.cmd.ProcessState == nil {
			_ = syscall.Kill(u.pid, syscall.SIGKILL) // it may have ended
		}
	})
}

// ownPorts are free ports on an address of loopback that only this process takes, where the
// system has such ones: nobody else gets a port meanwhile, nor from one process to the next.
func ownPorts(t *testing.T, n int) (list []string) {
	t.Helper()
	pid := os.Getpid()
	own := net.IPv4(127, byte(pid>>16)|0x80, byte(pid>>8), byte(pid)).String()
	for range n {
		ln, err := net.Listen("tcp", net.JoinHostPort(own, "0"))
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			ln, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // after the next one has another
		list = append(list, ln.Addr().String())
	}
	return list
}

// The kinds of connections: half of them are on TLS 1.3, and move as those without; the last
// one is on TLS 1.2, and stays.
const (
	kinds  = 8
	stayer = kinds - 1
)

// dials are the kinds of connections.
func (u *upgraded) dials() [kinds]func() (net.Conn, error) {
	secured := func(address string, version uint16) func() (net.Conn, error) {
		return func() (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: version}) // its own
		}
	}
	each, loop := secured(u.ports[2], tls.VersionTLS13), secured(u.ports[3], tls.VersionTLS13)
	return [...]func() (net.Conn, error){
		func() (net.Conn, error) { return net.Dial("tcp", u.ports[0]) },
		func() (net.Conn, error) { return net.Dial("unix", u.dir+"/echo.sock") },
		func() (net.Conn, error) { return net.Dial("tcp", u.ports[1]) },
		each, loop, each, loop, secured(u.ports[3], tls.VersionTLS12),
	}
}

// stream opens connections, has each answer, and then count until the end.
func (u *upgraded) stream(connections int) {
	u.t.Helper()
	dials := u.dials()
	for n := range connections {
		kind := n % kinds
		worst := &u.worst[0]
		if kind == stayer {
			worst = &u.worst[1]
		}
		c, err := answered(dials[kind])
		if err != nil {
			u.t.Fatal(err)
		}
		u.streaming.Go(func() {
			defer c.Close()
			err := u.count(c, worst)
			switch {
			case err == nil:
			case u.mayBreak.Load() && broken(err):
				u.broke.Add(1)
			default:
				u.t.Errorf("a stream of kind %d: %v", kind, err)
			}
		})
	}
}

// broken tells an error of a connection that has ended.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}

// count sends numbers, several at a time, and reads them back.
func (u *upgraded) count(c net.Conn, worst *atomic.Int64) error {
	const ahead = 16
	var sent, got uint64
	buf := make([]byte, 8*ahead)
	for {
		select {
		case <-u.stop:
			return nil
		default:
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		for n := range ahead {
			le.LittleEndian.PutUint64(buf[8*n:], sent)
			sent++
		}
		began := time.Now()
		if _, err := c.Write(buf); err != nil {
			return fmt.Errorf("after %d: %w", got, err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return fmt.Errorf("after %d: %w", got, err)
		}
		for n := range ahead {
			if found := le.LittleEndian.Uint64(buf[8*n:]); found != got {
				return fmt.Errorf("found %d, wanted %d", found, got)
			}
			got++
		}
		took := int64(time.Since(began))
		for was := worst.Load(); took > was && !worst.CompareAndSwap(was, took); was = worst.Load() {
		}
		u.exchanged.Add(ahead)
	}
}

// answered is a connection that has been given to a protocol: it has answered.
func answered(dial func() (net.Conn, error)) (net.Conn, error) {
	c, err := dial()
	if err == nil {
		_, err = c.Write([]byte("?"))
	}
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	return c, err
}

// connect connects again and again, and asks each time for one answer.
func (u *upgraded) connect() {
	u.streaming.Go(func() {
		for {
			select {
			case <-u.stop:
				return
			default:
			}
			for kind, dial := range u.dials() {
				c, err := answered(dial)
				if err != nil {
					u.t.Errorf("connection %d, of kind %d: %v", u.connected.Load(), kind, err)
					return
				}
				_ = c.Close() // it has answered
				u.connected.Add(1)
			}
		}
	})
}

// upgrade upgrades by the command.
func (u *upgraded) upgrade(args ...string) (out host.Upgraded, err error) {
	r := command(u.t, append([]string{"upgrade", "-o", "json", "--admin", "unix://" + u.dir + "/admin.sock"},
		args...)...)
	if r.code != exitFine {
		return out, errors.New(r.stderr)
	}
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		return out, err
	}
	if !out.DryRun {
		u.pid = out.PID
	}
	return out, nil
}

// end ends the streams and the server, whose last process ends as it should. What is between
// is done between.
func (u *upgraded) end(between ...func()) {
	u.t.Helper()
	close(u.stop)
	u.streaming.Wait()
	for _, f := range between {
		f()
	}
	if err := syscall.Kill(u.pid, syscall.SIGTERM); err != nil {
		u.t.Error(err)
	}
	u.p.end() // of the first; its log is that of all
	u.t.Logf("exchanged %d, connected %d, worst wait %v, of those that stay %v", u.exchanged.Load(), u.connected.Load(),
		time.Duration(u.worst[0].Load()), time.Duration(u.worst[1].Load()))
}

// serves tries each kind of connection until it is answered.
func (u *upgraded) serves() {
	u.t.Helper()
	for kind, dial := range u.dials() {
		for began := time.Now(); ; {
			c, err := dial()
			if err == nil {
				err = c.SetDeadline(time.Now().Add(patience))
			}
			if err == nil {
				_, err = c.Write([]byte("?"))
			}
			if err == nil {
				_, err = io.ReadFull(c, make([]byte, 1))
				_ = c.Close() // it has answered, or failed
			}
			if err == nil {
				break
			}
			if time.Since(began) > patience {
				u.t.Fatalf("kind %d: %v\n%s", kind, err, u.p.stderr())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
