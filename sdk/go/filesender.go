package wirehost

import (
	"errors"
	"io"
)

// ErrConsumerGone means that the connection ended before all was sent.
var ErrConsumerGone = errors.New("the connection ended before all was sent")

// FileSender sends what a Reader has, as fast as the peer takes it, and never
// holds more than one piece of it (Twisted's FileSender): a pull producer. The
// zero value is ready. One transfer at a time.
type FileSender struct {
	ChunkSize int                 // bytes of a piece; 0 is 16 KiB
	Transform func([]byte) []byte // if set, makes of each piece what is sent

	from io.Reader
	to   *Transport
	done func(error)
	buf  []byte
}

// BeginFileTransfer sends r over t. When all is written, or it failed, t has no
// producer any more and done is called once, if it is not nil: with nil, with
// what r said, with a Status, or with ErrConsumerGone.
// Where BeginFileTransfer itself returns an error, done is not called.
func (f *FileSender) BeginFileTransfer(r io.Reader, t *Transport, done func(err error)) error {
	if f.from != nil {
		return ErrBusy
	}
	if err := t.RegisterProducer(f, false); err != nil {
		return err
	}
	f.from, f.to, f.done = r, t, done
	return nil
}

// ResumeProducing sends the next piece. The server calls it.
func (f *FileSender) ResumeProducing() {
	if f.from == nil {
		return
	}
	if f.buf == nil {
		size := f.ChunkSize
		if size <= 0 {
			size = 16 << 10
		}
		f.buf = make([]byte, size)
	}
	for {
		n, err := io.ReadAtLeast(f.from, f.buf, 1)
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			f.end(err)
			return
		}
		piece := f.buf[:n]
		if f.Transform != nil {
			piece = f.Transform(piece)
		}
		if len(piece) == 0 {
			continue // nothing was written, so nothing would ask again
		}
		if _, err := f.to.Write(piece); err != nil {
			f.end(err)
		}
		return
	}
}

// PauseProducing is never called: a pull producer waits by itself.
func (f *FileSender) PauseProducing() {}

// StopProducing ends the transfer with ErrConsumerGone. The server calls it.
func (f *FileSender) StopProducing() { f.finish(ErrConsumerGone) }

// end lets go of the transport.
func (f *FileSender) end(err error) {
	if uerr := f.to.UnregisterProducer(); err == nil {
		err = uerr
	}
	f.finish(err)
}

func (f *FileSender) finish(err error) {
	done := f.done
	f.from, f.to, f.done, f.buf = nil, nil, nil, nil
	if done != nil {
		done(err)
	}
}
