package operate

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/admin"
)

// service is a listener with what answers on it, until another process takes it over. Any
// goroutine.
type service struct {
	name  string
	log   hclog.Logger
	again func(*os.File) (net.Listener, error) // listens on a socket that listens already
	serve func(net.Listener) error             // until the listener is closed

	mu       sync.Mutex
	ended    bool
	begun    bool         // what serves closes the listener
	at       string       // the endpoint, as it was asked for
	stays    bool         // the socket's file is a service manager's
	borrowed bool         // it is another process's, which this one takes over from
	listener net.Listener // nil = none
	left     *os.File     // of a listener that was left to another process; nil = none
	served   sync.WaitGroup
}

func (v *service) set(name string, log hclog.Logger, serve func(net.Listener) error,
	again func(*os.File) (net.Listener, error)) {
	v.name, v.log, v.serve, v.again = name, log, serve, again
}

func (v *service) hasEnded() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended
}

// take listens on a socket that was given. stays: its file is not to be removed at the end;
// that of another process that this one takes over from is not before own is called.
func (v *service) take(f *os.File, stays bool) (err error) {
	if v.listener, err = v.again(f); err == nil {
		v.stays, v.borrowed = stays, !stays
		admin.Keep(v.listener, true)
	}
	return err
}

// own takes over the socket's file.
func (v *service) own() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.borrowed && v.listener != nil {
		admin.Keep(v.listener, false)
	}
	v.borrowed = false
}

// begin answers on the listener.
func (v *service) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer()
}

func (v *service) answer() {
	ln := v.listener
	if ln == nil || v.ended {
		return
	}
	v.begun = true
	v.served.Go(func() {
		if err := v.serve(ln); err != nil {
			v.log.Error(v.name+" has ended", "err", err)
		}
	})
}

// file is the socket for another process; nil = there is none. The caller closes it.
func (v *service) file() (*os.File, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.duplicate()
}

func (v *service) duplicate() (*os.File, error) {
	if v.listener == nil || v.left != nil {
		return nil, nil
	}
	return admin.File(v.listener)
}

// leave leaves new requests to another process. Those under way go on.
func (v *service) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	f, err := v.duplicate()
	if f != nil {
		v.left = f
		err = admin.Leave(v.listener)
	}
	if err != nil {
		v.log.Warn("letting go of a socket", "of", v.name, "err", err)
	}
}

// resume takes back what was left.
func (v *service) resume() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.left == nil || v.ended {
		return
	}
	var err error
	if v.listener, err = v.again(v.left); err != nil {
		v.log.Error("taking back a socket", "of", v.name, "err", err)
		v.listener = nil
	} else {
		admin.Keep(v.listener, v.stays)
	}
	v.left = nil
	v.answer()
}

// remove removes the file of a socket that was left to another process, and is of no use to
// it.
func (v *service) remove() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.listener == nil {
		return
	}
	if err := admin.Remove(v.listener); err != nil {
		v.log.Warn("removing a socket's file", "of", v.name, "err", err)
	}
}

// requestWait is how long a request may take to finish when everything else has
// ended.
const requestWait = time.Second

// end lets requests to server finish, for requestWait, and ends the listening, unless
// another process has that. Twice is as good as once.
func (v *service) end(server *admin.Server) error {
	v.mu.Lock()
	ln, left := v.listener, v.left
	v.listener, v.left, v.ended = nil, nil, true
	v.mu.Unlock()
	var err error
	switch {
	case left != nil:
		err = left.Close()
	case ln != nil && !v.begun:
		err = ln.Close()
	}
	if server == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestWait)
	defer cancel()
	closeErr := server.Close(ctx)
	v.served.Wait()
	if errors.Is(closeErr, context.DeadlineExceeded) {
		closeErr = nil
	}
	return errors.Join(err, closeErr)
}
