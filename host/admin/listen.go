package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/wirehost/wirehost/reactor"
)

// Off is the endpoint that means no administration.
const Off = "off"

// socketMode lets the owner and the group in, and nobody else.
const socketMode = 0o660

// maxSocketPath is how long a Unix socket's path may be on every system: the
// shortest sun_path is 104 bytes, one of them the final NUL.
const maxSocketPath = 103

// DefaultEndpoint is where a server listens and a client connects when nothing
// is configured: in $XDG_RUNTIME_DIR, or else in the user's own folder among the
// temporary files. getenv is like os.Getenv.
func DefaultEndpoint(getenv func(string) string) string {
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) { // the XDG specification demands that
		return "unix://" + filepath.Join(dir, "wirehost", "admin.sock")
	}
	dir := getenv("TMPDIR")
	if !filepath.IsAbs(dir) { // server and client may be started in two folders
		dir = os.TempDir()
	}
	return "unix://" + filepath.Join(dir, temporaryName(), "admin.sock")
}

// Listen binds the endpoint that Serve is given: unix://PATH or tcp://HOST:PORT
// on loopback, or anywhere where it is guarded: administrators are known by TLS and
// certificates or a token. authority is what Options want. The folder of a default
// endpoint is made, for its user alone.
func Listen(endpoint string, isDefault, guarded bool) (ln net.Listener, authority string, err error) {
	e, err := reactor.ParseEndpoint(endpoint)
	if err != nil {
		return nil, "", fmt.Errorf("admin: %w", err)
	}
	switch e.Scheme {
	case "unix":
		if isDefault {
			if err := ownFolder(filepath.Dir(e.Path)); err != nil {
				return nil, "", fmt.Errorf("admin: %w", err)
			}
		}
		ln, err = listenUnix(e.Path)
	case "tcp":
		ln, err = listenTCP(e, guarded)
	default:
		err = fmt.Errorf("found the scheme %s, wanted unix or tcp", e.Scheme)
	}
	if err != nil {
		return nil, "", fmt.Errorf("admin: %s: %w", endpoint, err)
	}
	if e.Scheme == "tcp" {
		authority = ln.Addr().String()
	}
	return ln, authority, nil
}

// ListenFile is Listen with a socket that listens there already, which another process has
// given. It closes f.
func ListenFile(f *os.File, endpoint string) (ln net.Listener, authority string, err error) {
	if ln, err = listenFile(f, endpoint); err != nil {
		return nil, "", fmt.Errorf("admin: %s: %w", endpoint, err)
	}
	if _, ok := ln.(*socket); !ok {
		authority = ln.Addr().String()
	}
	return ln, authority, nil
}

func listenFile(f *os.File, endpoint string) (net.Listener, error) {
	ln, err := net.FileListener(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	u, ok := ln.(*net.UnixListener)
	if !ok {
		return ln, nil
	}
	u.SetUnlinkOnClose(false)
	s := &socket{UnixListener: u, path: strings.TrimPrefix(endpoint, "unix://")} // it was made under another name
	if s.info, err = os.Lstat(s.path); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	return s, nil
}

// bare is the listener that a socket is accepted by, without what is around it.
func bare(ln net.Listener) net.Listener {
	for {
		around, ok := ln.(interface{ inner() net.Listener })
		if !ok {
			return ln
		}
		ln = around.inner()
	}
}

// File is a duplicate of the socket of a listener that Listen or ListenMonitor has made, for
// another process. The caller closes it.
func File(ln net.Listener) (*os.File, error) {
	l, ok := bare(ln).(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("%s: found a listener without a file", ln.Addr())
	}
	return l.File()
}

// Leave ends the listening here for another process that has the socket: its file stays.
func Leave(ln net.Listener) error {
	if s, ok := bare(ln).(*socket); ok {
		s.once.Do(func() {})
		return s.UnixListener.Close()
	}
	return ln.Close()
}

// Remove removes the file of a listener's Unix socket, which Leave has left, if it is still
// that socket's.
func Remove(ln net.Listener) error {
	if s, ok := bare(ln).(*socket); ok {
		return s.remove()
	}
	return nil
}

// Keep says whether the file of a listener's Unix socket stays when it is closed: it is
// another's, such as a service manager's.
func Keep(ln net.Listener, stays bool) {
	if s, ok := bare(ln).(*socket); ok {
		s.kept = stays
	}
}

func listenTCP(e reactor.Endpoint, guarded bool) (net.Listener, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	if err != nil {
		return nil, err
	}
	if a, ok := ln.Addr().(*net.TCPAddr); !guarded && (!ok || !a.IP.IsLoopback()) { // a name may resolve to anything
		return nil, errors.Join(fmt.Errorf("found the address %s, which others can reach, wanted one of loopback",
			ln.Addr()), ln.Close())
	}
	return ln, nil
}

// ownFolder makes a folder that only its owner can enter. Among the temporary
// files another user may have made it first: then it is refused.
func ownFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := private(dir); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700) // it is ours, and others may have been let in
}

// private says why a folder is not one that its user alone can write to, or nil.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: found %s, wanted a folder", dir, info.Mode().Type())
	}
	owner, known := ownerOf(info)
	if !known {
		return nil
	}
	if owner != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: found a folder of user %d with mode %o, wanted one that nobody else can write to", dir,
			owner, info.Mode().Perm())
	}
	around, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return err
	}
	if around.Mode().Perm()&0o002 != 0 && around.Mode()&fs.ModeSticky == 0 { // anybody could put another in its place
		return fmt.Errorf("%s: found a folder that all can write to and rename others' files in, wanted the sticky bit",
			filepath.Dir(dir))
	}
	return nil
}

// CheckDefault says why a client should not ask at a default endpoint, or nil: among the
// temporary files, another user may have made the folder, and listen there.
func CheckDefault(endpoint string) error {
	dir := filepath.Dir(strings.TrimPrefix(endpoint, "unix://"))
	if filepath.Base(dir) != temporaryName() {
		return nil // in XDG_RUNTIME_DIR
	}
	if err := private(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil // nobody listens there
}

// temporaryName is the name of the user's own folder among the temporary files.
func temporaryName() string { return "wirehost-" + strconv.Itoa(os.Getuid()) }

// listenUnix binds a socket. It is made under another name, and takes its place
// when it has its mode and is listened on: so whatever stands in its place is
// alive, or was left by a dead server.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("found a path of %d bytes, wanted at most %d", len(path), maxSocketPath)
	}
	// Short names, because of maxSocketPath, and the process's own.
	tmp := filepath.Join(filepath.Dir(path), "."+strconv.FormatInt(int64(os.Getpid()), 36))
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) { // which names tmp
			err = op.Err
		}
		return nil, fmt.Errorf("in the folder %s: %w", filepath.Dir(path), err)
	}
	ln.SetUnlinkOnClose(false)
	s := &socket{UnixListener: ln, path: path}
	if err = os.Chmod(tmp, socketMode); err == nil {
		s.info, err = os.Lstat(tmp)
	}
	if err == nil {
		err = takePlace(tmp, path)
	}
	if gone := os.Remove(tmp); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return s, nil
}

// takePlace gives the socket tmp the name path. A dead server's socket is
// replaced; nothing else is. The folder is locked meanwhile, so that of two
// servers that start at once neither replaces the other's.
func takePlace(tmp, path string) (err error) {
	unlock, err := lock(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := dead(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(tmp, path)
}

// dead says why a file is not a socket that a dead server has left.
func dead(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("found a file there, wanted nothing, or a socket of a server that has ended")
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(errors.New("another server answers there"), c.Close())
	}
	if !refused(err) {
		return fmt.Errorf("found a socket, and can't tell whether its server has ended: %w", err)
	}
	return nil
}

// socket is a Unix socket that is removed when it is closed, if it is still ours.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
	kept bool // the file is not ours
}

// Addr is the place that the socket has taken.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close ends the listening and removes the socket.
func (s *socket) Close() (err error) {
	s.once.Do(func() { err = errors.Join(s.remove(), s.UnixListener.Close()) })
	return err
}

func (s *socket) remove() error {
	if info, err := os.Lstat(s.path); s.kept || err != nil || !os.SameFile(info, s.info) {
		return nil
	}
	return os.Remove(s.path)
}
