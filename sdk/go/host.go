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
	StartTLSClient(conn int32, name string) int32
	HandOver(conn int32, plugin string, first []byte) int32
	GetPeerCertificate(conn int32, buf []byte) int32
	NegotiatedProtocol(conn int32, buf []byte) int32
	Listener(conn int32) int32
	CallLater(ms int32) int32
	Cancel(timer int32) int32
	Reset(timer, ms int32) int32
	Seconds() float64
	Connect(endpoint string, ms int32) int32
	Listen(endpoint string) int32
	StopListening(listener int32) int32
	ConnectAs(conn int32, endpoint string, ms int32) int32
	Time() float64
	Random(buf []byte) int32
	Config(buf []byte) int32
	Emit(level int32, text string) int32
	Define(kind int32, name string) int32
	Record(id int32, value float64) int32
	AssetCount() int32
	AssetName(i int32, buf []byte) int32
	AssetSize(i int32) int32
	AssetRead(i, offset int32, buf []byte) int32
	Send(sock int32, records []byte, n int32) int32
	Open(endpoint string) int32
	Join(sock int32, group string) int32
	Leave(sock int32, group string) int32
	SetOption(sock, option, value int32) int32
}

// Guest is one instance of a plugin as the server sees it: every export of the ABI,
// with slices for ranges of memory. Protocols have no use for it, and tests have
// package sdktest, which drives one that NewGuest makes.
type Guest interface {
	ReceiveBuffer() []byte // as large as one DataReceived can fill
	LogPrefix() []byte     // nil declines
	InstanceMade(seed []byte)
	StartFactory() int32 // 0, or 1 if it refuses
	StopFactory()
	BuildProtocol(conn int32) int32 // 0, or 1 if the factory refuses
	ConnectionMade(conn int32)
	DataReceived(conn int32, data []byte) // data is the server's again when it returns
	ConnectionLost(conn int32, reason Reason)
	ClientConnectionFailed(conn int32, reason Reason)
	ReadConnectionLost(conn int32)
	WriteConnectionLost(conn int32)
	HandshakeCompleted(conn int32)
	PauseProducing(conn int32)
	ResumeProducing(conn int32)
	StopProducing(conn int32)
	DelayedCall(timer int32)
	StartProtocol(sock int32)
	StopProtocol(sock int32, reason Reason)
	DatagramsReceived(sock int32, records []byte, n int32) // as data of DataReceived
	ConnectionRefused(sock int32)
	StateVersion() int32
	SaveState(conn int32) (state []byte, ok bool)         // read before the next call; false declines
	RestoreBuffer(n uint32) []byte                        // nil refuses
	RestoreState(conn, version int32, state []byte) int32 // 0, or 1 if it is refused, with the reason in the log
}
