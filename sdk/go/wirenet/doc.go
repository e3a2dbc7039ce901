// Package wirenet runs an ordinary Go server inside a guest: it gives a
// net.Listener whose connections are the plugin's, so that whatever has a
// Serve(net.Listener), or is a function on a net.Conn, answers there unchanged.
//
//	func init() {
//		wirehost.Register(wirenet.Serve(new(http.Server).Serve, wirenet.Options{}))
//	}
//
//	func main() {}
//
// A datagram socket of the configuration is a net.PacketConn, which Options.ServePacket
// gets, or, where there are no connections, ServePacket. The plugin must import package
// datagram for that, which is what makes it one that takes datagrams:
//
//	import _ "github.com/wirehost/wirehost/sdk/go/datagram"
//
//	func init() {
//		server := &http3.Server{Handler: mux, TLSConfig: certificate}
//		wirehost.Register(wirenet.ServePacket(server.Serve, wirenet.Options{}))
//	}
//
// The Server that Serve makes also dials (DialContext), opens datagram sockets of the
// plugin's own (ListenPacket), and listens (Listen), where the configuration allows it.
// A filter, which stands in front of another plugin, connects to that by DialAs.
//
// A guest has one thread, and its goroutines run only during callbacks. Each
// callback hands what it brings to the goroutine that waits for it, yields until
// all goroutines wait again, and hands over to the server what they wrote. So a
// goroutine may block: on a connection, a channel, a mutex.
//
// A goroutine may also sleep. The timers of Go's runtime (time.Sleep,
// time.AfterFunc, context.WithTimeout) and the deadlines of connections are served
// in the millisecond in which they are due, or in the next one; an instance with
// nothing due is not called. Where the timers of a Go release newer than this
// package are not found, a tick looks after them instead: 1 ms after a callback and
// then ever more rarely, up to Options.Tick.
//
// A goroutine that computes holds the event loop as any callback does, and is
// ended with its instance at limits.callback_time.
//
// Connections do not move when the plugin is reloaded, since goroutines cannot:
// they end on the old version. A datagram socket of the configuration does: reading
// from it ends with a LostError, and the new version's Options.ServePacket has it.
//
// TLS that a server begins in the middle of a connection (STARTTLS) is the guest's
// own, by crypto/tls on the net.Conn: what the server has read and buffered in
// plain text it must throw away itself (RFC 3207, section 4.2).
//
// The other parts of the SDK stay with the callbacks: of package wirehost only
// Reactor.Log, Logf, Config and ConfigJSON may be called from a goroutine.
package wirenet
