package reactor

import "crypto/tls"

// library is crypto/tls's own layer: its tls.Conn goes on over the pipe.
type library struct {
	conn *tls.Conn
	pipe *pipe
}

func (b *library) room(buf []byte) []byte        { return buf }
func (b *library) took(l *Loop, n int)           { b.pipe.feed(l.cipherBuf[:n]) }
func (b *library) keep(*Loop)                    { b.pipe.keep() }
func (b *library) waits() bool                   { return false }
func (b *library) answer(*connection)            {} // crypto/tls has
func (b *library) wipe()                         {} // crypto/tls's secrets are its own
func (b *library) closeNotify(*connection) error { return b.conn.CloseWrite() }

func (b *library) next(c *connection) ([]byte, error) {
	buf := c.receiveBuffer()
	n, err := b.conn.Read(buf)
	return buf[:n], err
}

func (b *library) seal(_ *connection, p []byte) error {
	_, err := b.conn.Write(p) // the pipe queues it
	return err
}
