package wirehost

// Host is the server as a guest sees it: every import of the ABI, with slices
// for ranges of memory. Package sdktest implements it, for tests that run
// natively; a guest calls the imports themselves. Each call returns 0 or a count,
// or a negative Status. Getters return the length of the text, and write
// nothing where buf is smaller.
type Host interface {
	Write(conn int32, p []byte) int32
	WriteSequence(conn int32, parts [][]byte) int32
	LoseConnection(conn int32) int32
	LoseWriteConnection(conn int32) int32
	AbortConnection(conn int32) int32
	PauseProducing(conn int32) int32
	ResumeProducing(conn int32) int32
	RegisterProducer(conn int32, streaming bool) int32
	UnregisterProducer(conn int32) int32
	State(conn int32) int32
	SetTimeout(conn, ms int32) int32
	GetPeer(conn int32, buf []byte) int32
	GetHost(conn int32, buf []byte) int32
	Reason(conn int32, buf []byte) int32
	SetTCPNoDelay(conn int32, on bool) int32
	SetTCPKeepAlive(conn int32, on bool) int32
	StartTLS(conn int32) int32
	GetPeerCertificate(conn int32, buf []byte) int32
	NegotiatedProtocol(conn int32, buf []byte) int32
	CallLater(ms int32) int32
	Cancel(timer int32) int32
	Reset(timer, ms int32) int32
	Seconds() float64
	Connect(endpoint string, ms int32) int32
	Config(buf []byte) int32
	Emit(level int32, text string) int32
}
