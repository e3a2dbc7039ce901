package wirehost

// Protocol is one connection's protocol. A type becomes one by embedding Base
// or one of the framers, which embed it, and by having the callbacks it needs.
type Protocol interface {
	// ConnectionMade comes first and exactly once, before any byte is read.
	ConnectionMade()
	// DataReceived gets 1 byte to 64 KiB of the stream, cut anywhere. data is
	// valid until DataReceived returns: copy what is to be kept. None comes
	// after LoseConnection or AbortConnection was called.
	DataReceived(data []byte)
	// ConnectionLost comes exactly once and last. Inside it the transport's
	// getters still answer and its writes are dropped.
	ConnectionLost(reason Reason)

	base() *Base
}

// Base carries what every Protocol has, and callbacks that do nothing.
type Base struct {
	Transport *Transport // set before ConnectionMade or RestoreState
	Factory   Factory    // the one that built it; of Connect, that was registered
	Connected bool       // from ConnectionMade until ConnectionLost has returned

	self Protocol // the outermost type, so that framers find its methods
}

func (b *Base) base() *Base { return b }

// ConnectionMade does nothing.
func (b *Base) ConnectionMade() {}

// DataReceived drops the bytes.
func (b *Base) DataReceived([]byte) {}

// ConnectionLost does nothing.
func (b *Base) ConnectionLost(Reason) {}

// Reactor is the connection's Reactor.
func (b *Base) Reactor() *Reactor { return b.Transport.Reactor() }

// ClientProtocol is the protocol of a connection made by Reactor.Connect.
// Exactly one of ConnectionMade and ClientConnectionFailed is called; after
// ClientConnectionFailed nothing else comes.
type ClientProtocol interface {
	Protocol
	ClientConnectionFailed(reason Reason)
}

// HalfCloseable is a Protocol that goes on after one side has closed its
// writing (Twisted's IHalfCloseableProtocol). For any other, the peer's close
// flushes the output and closes the connection.
type HalfCloseable interface {
	// ReadConnectionLost says that the peer will send nothing more.
	ReadConnectionLost()
	// WriteConnectionLost says that our writing side is closed.
	WriteConnectionLost()
}

// HandshakeListener is a Protocol that wants to know when TLS is up (Twisted's
// IHandshakeListener). ConnectionMade came before.
type HandshakeListener interface {
	HandshakeCompleted()
}

// Producer makes output when it is asked to (Twisted's IPushProducer and
// IPullProducer).
type Producer interface {
	// PauseProducing says that the output is above the high water mark. Only
	// streaming (push) producers get it.
	PauseProducing()
	// ResumeProducing says, to a push producer, that the output is below the
	// low water mark; to a pull producer, once per emptying, that it may write
	// its next piece.
	ResumeProducing()
	// StopProducing says that the connection is gone.
	StopProducing()
}

// StateSaver is a Protocol or a Factory whose state moves to the new version
// when the plugin is reloaded. A Protocol that is none stays on the old
// version until it ends.
type StateSaver interface {
	// SaveState encodes the state and changes nothing: it may be called again,
	// and the protocol may go on after it. false declines. Only getters, Config
	// and Log work inside it.
	SaveState() (state []byte, ok bool)
	// RestoreState is called in the new version in place of ConnectionMade (for
	// a Factory: after StartFactory) with what SaveState returned and the
	// StateVersion of the version that saved it. state is valid until it
	// returns. Write and CallLater take effect only if the reload succeeds. An
	// error refuses, and the connection stays on the old version.
	RestoreState(version int32, state []byte) error
}

// Factory builds the protocols of accepted connections. There is one in each
// instance: by default one for each event loop, so that what it remembers is
// shared by the connections of that loop. With isolation shared in the plugin's
// configuration one serves all, with isolation connection each has its own.
type Factory interface {
	// BuildProtocol makes the Protocol of one connection, in a reload also that
	// of a connection whose state is about to be restored. Only the getters of
	// t work inside it. nil refuses the connection.
	BuildProtocol(t *Transport) Protocol
}

// FactoryFunc is a Factory made of a function.
type FactoryFunc func(t *Transport) Protocol

// BuildProtocol calls f.
func (f FactoryFunc) BuildProtocol(t *Transport) Protocol { return f(t) }

// Starter is a Factory with something to do before the first connection, such
// as reading its configuration. An error refuses to start.
type Starter interface {
	StartFactory(r *Reactor) error
}

// Stopper is a Factory with something to do after the last connection.
type Stopper interface {
	StopFactory()
}

// LogPrefixer is a Factory that names itself in log lines. It is asked once,
// before StartFactory.
type LogPrefixer interface {
	LogPrefix() string
}

// InstanceListener is a Factory that wants to know when its instance is made: once, after
// LogPrefix and before StartFactory. The server may make instances from an image of one
// that was started, package variables and init's work included: what init drew by chance
// is the same in all of them. seed is random and of this instance alone; rand.NewChaCha8
// of math/rand/v2 takes it. The functions of math/rand and math/rand/v2 themselves have a
// new seed in each instance by then. What is secret comes from crypto/rand, which asks the
// server each time.
type InstanceListener interface {
	InstanceMade(seed [32]byte)
}

// StateVersioner is a Factory that numbers the layout that its SaveState, and
// that of its protocols, writes. Without it the number is 1.
type StateVersioner interface {
	StateVersion() int32
}

// ClientBuilder is a Factory whose outgoing connections move in a reload too:
// BuildClientProtocol makes the protocol for the connection t, and RestoreState
// follows. nil refuses.
type ClientBuilder interface {
	BuildClientProtocol(t *Transport) ClientProtocol
}
