package wirehost

// Reading makes of the connection's reading a push producer for another
// connection's output, as forwarding needs it:
//
//	err := b.RegisterProducer(a.Reading(), true) // and DataReceived of a writes to b
//
// While b's peer does not take its output, a is not read. When b is gone, a is
// closed. (In Twisted the transport is itself the producer.)
func (t *Transport) Reading() Producer { return reading{t} }

type reading struct{ t *Transport }

func (r reading) PauseProducing()  { r.told("pause", r.t.PauseProducing()) }
func (r reading) ResumeProducing() { r.told("resume", r.t.ResumeProducing()) }
func (r reading) StopProducing()   { r.told("close", r.t.LoseConnection()) }

// told reports what went wrong. That the connection has ended is no news.
func (r reading) told(what string, err error) {
	if err != nil && err != ErrNoConnection {
		r.t.guest.report(LevelWarn, what+" of connection "+itoa(r.t.conn)+", read for another: "+err.Error())
	}
}
