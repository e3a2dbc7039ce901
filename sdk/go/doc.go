// Package wirehost is the SDK for protocols written in Go that run inside the
// wirehost server. It speaks in the words of Twisted: a Factory builds a
// Protocol for each connection, the Protocol gets ConnectionMade, DataReceived
// and ConnectionLost, and answers through its Transport.
//
//	type echo struct{ wirehost.Base }
//
//	func (p *echo) DataReceived(data []byte) { p.Transport.Write(data) }
//
//	func init() {
//		wirehost.Register(wirehost.FactoryFunc(func(*wirehost.Transport) wirehost.Protocol { return new(echo) }))
//	}
//
//	func main() {}
//
// Build it with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o echo.wasm .
//
// The same package compiles natively, where package sdktest stands in for the
// server: a protocol's unit tests are plain go test.
//
// Everything here belongs to the one thread of the instance: callbacks run one
// after another, never one inside another, and nothing here may be called from
// a goroutine that outlives the callback which started it. A callback must not
// block or sleep; it returns, and is called again. A panic is a trap: the
// server discards the instance.
//
// Small writes of a callback are gathered and sent with one call to the server
// when the callback returns.
//
// Framers to embed in place of Base: LineReceiver, LineOnlyReceiver,
// NetstringReceiver, Int8StringReceiver, Int16StringReceiver,
// Int32StringReceiver, StatefulProtocol. Beside it: TimeoutMixin, LoopingCall,
// FileSender, ReconnectingClientFactory, ClientService. They follow Twisted's of
// these names, and give the same result however the stream is cut.
package wirehost
