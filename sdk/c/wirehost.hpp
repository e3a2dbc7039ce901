// wirehost.hpp: the SDK for protocols in C++17 that run inside the wirehost server.
// Copy it, wirehost.h and wirehost.c into a project; they need nothing else, not
// even a C++ library. It speaks in the words of Twisted:
//
//	#include "wirehost.hpp"
//
//	struct Echo : wirehost::Protocol {
//		void dataReceived(wirehost::Bytes data) override { transport.write(data); }
//	};
//	struct EchoFactory : wirehost::Factory {
//		wirehost::Protocol *buildProtocol(wirehost::Transport) override { return new Echo; }
//	};
//	WIREHOST_FACTORY(EchoFactory)
//
// clang compiles the .cpp as C++ and wirehost.c as C in one go:
//
//	clang --target=wasm32 -Os -nostdlib -mbulk-memory -fno-exceptions -fno-rtti \
//		-fno-threadsafe-statics -Wl,--no-entry -Wl,--stack-first -o echo.wasm echo.cpp wirehost.c
//
// Callbacks run one after another on one thread, never one inside another. They
// must not block; __builtin_trap() ends the instance. Bytes that a callback gets
// are valid until it returns.
//
// A function that can fail returns a negative wh_status; WH_OK or a count
// otherwise. What this file has no class for (logging, configuration, numbers in
// states) is in wirehost.h.
#ifndef WIREHOST_HPP
#define WIREHOST_HPP

#include "wirehost.h"

namespace wirehost {

// Some bytes that belong to another.
struct Bytes {
	const uint8_t *p = nullptr;
	size_t n = 0;

	constexpr Bytes() = default;
	constexpr Bytes(const uint8_t *p, size_t n) : p(p), n(n) {}
	Bytes(const char *p, size_t n) : p(reinterpret_cast<const uint8_t *>(p)), n(n) {}
	Bytes(const wh_buf &b) : p(b.p), n(b.len) {}
	template <size_t N> Bytes(const char (&text)[N]) : Bytes(text, N - 1) {}

	constexpr size_t size() const { return n; }
	constexpr bool empty() const { return n == 0; }
	constexpr uint8_t operator[](size_t i) const { return p[i]; }
	constexpr const uint8_t *begin() const { return p; }
	constexpr const uint8_t *end() const { return p + n; }
	constexpr Bytes first(size_t k) const { return {p, k}; }
	constexpr Bytes from(size_t k) const { return {p + k, n - k}; }
};

inline bool operator==(Bytes a, Bytes b) { return a.n == b.n && (a.n == 0 || __builtin_memcmp(a.p, b.p, a.n) == 0); }
inline bool operator!=(Bytes a, Bytes b) { return !(a == b); }

// Bytes that grow, and are freed with it.
class Buffer : public wh_buf {
public:
	Buffer() : wh_buf{} {}
	explicit Buffer(Bytes b) : wh_buf{} { add(b); }
	Buffer(const Buffer &) = delete;
	Buffer &operator=(const Buffer &) = delete;
	~Buffer() { wh_buf_free(this); }

	void add(Bytes b) { wh_buf_add(this, b.p, b.n); }
	void clear() { len = 0; }
};

// Objects in the SDK's memory.
struct Object {
	static void *operator new(size_t n) { return wh_alloc(n); }
	static void operator delete(void *p) { wh_free(p); }
};

class Protocol;

// A connection, named by its handle: it may be copied and kept. Once the connection
// has ended every function returns WH_ENOCONN.
class Transport {
public:
	Transport() = default;
	explicit Transport(wh_conn *c) : number(wh_handle(c)) {}
	// For restoreState: another connection, which was saved by its handle. It moves under
	// the same number, and until it has, its functions return WH_ENOCONN.
	static Transport restore(int32_t handle) {
		Transport t;
		t.number = handle;
		return t;
	}

	int32_t handle() const { return number; }
	// For the functions of wirehost.h; null once it has ended.
	wh_conn *conn() const { return wh_find(number); }
	Protocol *protocol() const; // null once it has ended
	bool disconnecting() const {
		wh_conn *c = conn();
		return c == nullptr || wh_disconnecting(c);
	}

	// See wirehost.h for each.
	int32_t write(Bytes b) const { return with(wh_write, b.p, b.n); }
	int32_t flush() const { return with(wh_flush); }
	int32_t loseConnection() const { return with(wh_lose_connection); }
	int32_t loseWriteConnection() const { return with(wh_lose_write_connection); }
	int32_t abortConnection() const { return with(wh_abort_connection); }
	int32_t pauseProducing() const { return with(wh_pause_producing); }
	int32_t resumeProducing() const { return with(wh_resume_producing); }
	int32_t registerProducer(bool streaming) const { return with(wh_register_producer, streaming); }
	int32_t unregisterProducer() const { return with(wh_unregister_producer); }
	int32_t state() const { return with(wh_state); }
	int32_t setTimeout(int32_t ms) const { return with(wh_set_timeout, ms); }
	int32_t setTcpNoDelay(bool on) const { return with(wh_set_tcp_no_delay, on); }
	int32_t setTcpKeepAlive(bool on) const { return with(wh_set_tcp_keep_alive, on); }
	int32_t startTLS() const { return with(wh_start_tls); }
	int32_t startTLSClient(const char *name) const { return with(wh_start_tls_client, name); }
	int32_t listener() const { return with(wh_listener); }
	int32_t handOver(const char *plugin, const void *first, size_t len) const {
		return with(wh_hand_over, plugin, first, len);
	}
	int32_t getPeer(char *buf, size_t cap) const { return with(wh_get_peer, buf, cap); }
	int32_t getHost(char *buf, size_t cap) const { return with(wh_get_host, buf, cap); }
	int32_t reasonText(char *buf, size_t cap) const { return with(wh_reason_text, buf, cap); }
	int32_t getPeerCertificate(uint8_t *buf, size_t cap) const { return with(wh_get_peer_certificate, buf, cap); }
	int32_t negotiatedProtocol(char *buf, size_t cap) const { return with(wh_negotiated_protocol, buf, cap); }

	// Calls the protocol's delayedCall with arg after ms, unless the connection ends
	// before; 0 is the loop's next turn. The timer's handle, for wh_cancel and wh_reset.
	int32_t callLater(int32_t ms, void *arg = nullptr) const;
	// For restoreState: a timer moves under its handle, to this connection's protocol.
	int32_t restoreCall(int32_t timer, void *arg = nullptr) const;

private:
	template <class F, class... Args> int32_t with(F f, Args... args) const {
		wh_conn *c = conn();
		return c != nullptr ? f(c, args...) : WH_ENOCONN;
	}

	int32_t number = 0;
};

// One connection's protocol: extend it, or a framer below. The SDK deletes it when
// the connection has ended.
class Protocol : public Object {
public:
	virtual ~Protocol() = default;

	Transport transport; // set before connectionMade and restoreState

	virtual void connectionMade() {}                  // first, before any byte is read
	virtual void dataReceived(Bytes) {}               // 1 byte to 64 KiB, cut anywhere
	virtual void connectionLost(wh_reason) {}         // once, last
	virtual void clientConnectionFailed(wh_reason) {} // after connect; nothing else comes

	// The peer, or we, closed one side. This one flushes and closes.
	virtual void readConnectionLost() { transport.loseConnection(); }
	virtual void writeConnectionLost() {}
	virtual void handshakeCompleted() {}

	// A producer (registerProducer): output is above high water, below low water
	// (pull: has emptied), or the connection is gone.
	virtual void pauseProducing() {}
	virtual void resumeProducing() {}
	virtual void stopProducing() {}

	virtual void delayedCall(void *) {} // of transport.callLater

	// A reload: saveState appends the state and changes nothing; false declines.
	// restoreState is called in the new version in place of connectionMade; false
	// refuses.
	virtual bool saveState(Buffer &) { return false; }
	virtual bool restoreState(int32_t, Bytes) { return false; }

	// The functions that call these. Framers have their own.
	virtual const wh_protocol *callbacks() const;
};

// Builds the protocols: one for each instance, see wh_factory.
class Factory : public Object {
public:
	static constexpr const char *logPrefix = nullptr; // name for log lines
	static constexpr int32_t stateVersion = 1;        // number of the layout that saveState writes

	virtual ~Factory() = default;
	virtual bool start() { return true; } // before the first connection; false refuses
	virtual void stop() {}                // after the last

	// The protocol of an accepted connection, made with new; only getters work inside.
	// Null refuses it. Called in a reload too, before restoreState.
	virtual Protocol *buildProtocol(Transport) = 0;
	// The same for an outgoing connection that a reload moves.
	virtual Protocol *buildClientProtocol(Transport) { return nullptr; }

	// The factory's own state, as a protocol's.
	virtual bool saveState(Buffer &) { return false; }
	virtual bool restoreState(int32_t, Bytes) { return false; }
};

// The functions that wirehost.h calls.
namespace glue {

template <class P = Protocol> P &of(wh_conn *c) { return *static_cast<P *>(static_cast<Protocol *>(wh_data(c))); }

inline Buffer &grown(wh_buf *b) { return *static_cast<Buffer *>(b); }

constexpr wh_protocol protocol(void (*received)(wh_conn *c, const uint8_t *p, size_t n)) {
	wh_protocol p = {};
	p.connection_made = [](wh_conn *c) { of(c).connectionMade(); };
	p.data_received = received;
	p.connection_lost = [](wh_conn *c, wh_reason why) { of(c).connectionLost(why); };
	p.read_connection_lost = [](wh_conn *c) { of(c).readConnectionLost(); };
	p.write_connection_lost = [](wh_conn *c) { of(c).writeConnectionLost(); };
	p.handshake_completed = [](wh_conn *c) { of(c).handshakeCompleted(); };
	p.client_connection_failed = [](wh_conn *c, wh_reason why) { of(c).clientConnectionFailed(why); };
	p.pause_producing = [](wh_conn *c) { of(c).pauseProducing(); };
	p.resume_producing = [](wh_conn *c) { of(c).resumeProducing(); };
	p.stop_producing = [](wh_conn *c) { of(c).stopProducing(); };
	p.save_state = [](wh_conn *c, wh_buf *out) { return of(c).saveState(grown(out)); };
	p.restore_state = [](wh_conn *c, int32_t version, const uint8_t *p, size_t n) {
		return of(c).restoreState(version, {p, n}) ? 0 : -1;
	};
	p.ended = [](wh_conn *c) { delete &of(c); };
	return p;
}

// Joins a connection and its protocol.
inline const wh_protocol *join(wh_conn *c, Protocol *p) {
	if (p == nullptr)
		return nullptr;
	p->transport = Transport(c);
	wh_set_data(c, p);
	return p->callbacks();
}

inline void called(wh_conn *c, void *arg) { of(c).delayedCall(arg); }

} // namespace glue

inline const wh_protocol *Protocol::callbacks() const {
	static constexpr wh_protocol p = glue::protocol([](wh_conn *c, const uint8_t *p, size_t n) { glue::of(c).dataReceived({p, n}); });
	return &p;
}

inline Protocol *Transport::protocol() const {
	wh_conn *c = conn();
	return c != nullptr ? &glue::of(c) : nullptr;
}

inline int32_t Transport::callLater(int32_t ms, void *arg) const {
	wh_conn *c = conn();
	return c != nullptr ? wh_call_later(c, ms, glue::called, arg) : WH_ENOCONN;
}

inline int32_t Transport::restoreCall(int32_t timer, void *arg) const {
	wh_conn *c = conn();
	return c != nullptr ? wh_restore_call(timer, c, glue::called, arg) : WH_ENOCONN;
}

// Opens a connection for p, made with new, which is the SDK's from here on; see
// wh_connect. 0, or a status.
inline int32_t connect(const char *endpoint, int32_t ms, Protocol *p) {
	wh_status status;
	wh_conn *c = wh_connect(endpoint, ms, p->callbacks(), &status);
	if (c != nullptr)
		glue::join(c, p);
	else
		delete p;
	return status;
}

// A listener that the plugin has opened, by its handle (Twisted's IListeningPort): see
// wh_listen. F is a class with Protocol *buildProtocol(Transport), such as a Factory; it stays
// where it is while connections come, and is not the SDK's.
class Port {
public:
	// 0, or a status: nothing has changed then.
	template <class F> int32_t listen(const char *endpoint, F *factory) {
		int32_t status = wh_listen(endpoint, build<F>, factory);
		if (status > 0)
			number = status;
		return status < 0 ? status : WH_OK;
	}
	// For the factory's restoreState: see wh_restore_port.
	template <class F> void restore(int32_t handle, F *factory) {
		number = handle;
		wh_restore_port(handle, build<F>, factory);
	}
	int32_t handle() const { return number; } // 0: it does not listen
	// 0, or a status; what has come there goes on.
	int32_t stopListening() {
		int32_t status = wh_stop_listening(number);
		if (status == WH_OK || status == WH_ENOCONN)
			number = 0;
		return status;
	}
	int32_t getHost(char *buf, size_t cap) const { return wh_port_host(number, buf, cap); }

private:
	template <class F> static const wh_protocol *build(wh_conn *c, void *factory) {
		return glue::join(c, static_cast<F *>(factory)->buildProtocol(Transport(c)));
	}

	int32_t number = 0;
};

// Datagrams: see wirehost.h. A plugin says WIREHOST_DATAGRAM_FACTORY() behind its
// WIREHOST_FACTORY, and its factory has
//
//	DatagramProtocol *buildDatagramProtocol(Transport); // made with new; null closes the socket

using Address = wh_address;

inline bool operator==(const Address &a, const Address &b) { return wh_address_equal(&a, &b); }
inline bool operator!=(const Address &a, const Address &b) { return !(a == b); }

// One socket's protocol. Of Protocol it has transport, delayedCall and the state.
class DatagramProtocol : public Protocol {
public:
	virtual void startProtocol() {} // first: the socket is bound, or connected
	virtual void datagramReceived(Bytes, const Address &) {}
	virtual void connectionRefused() {}     // nobody listens at a connected socket's peer
	virtual void stopProtocol(wh_reason) {} // once, last

	// See wh_write_datagram; without an address it goes to a connected socket's peer.
	int32_t write(Bytes b, const Address &to) const { return send(b, &to); }
	int32_t write(Bytes b) const { return send(b, nullptr); }
	int32_t flush() const {
		wh_conn *s = transport.conn();
		return s != nullptr ? wh_flush_datagrams(s) : WH_ENOCONN;
	}
	uint32_t dropped() const {
		wh_conn *s = transport.conn();
		return s != nullptr ? wh_dropped(s) : 0;
	}
	int32_t join(const char *group) const {
		wh_conn *s = transport.conn();
		return s != nullptr ? wh_join(s, group) : WH_ENOCONN;
	}
	int32_t leave(const char *group) const {
		wh_conn *s = transport.conn();
		return s != nullptr ? wh_leave(s, group) : WH_ENOCONN;
	}
	int32_t setOption(int32_t option, int32_t value) const {
		wh_conn *s = transport.conn();
		return s != nullptr ? wh_set_option(s, option, value) : WH_ENOCONN;
	}

	const wh_protocol *callbacks() const override {
		static constexpr wh_datagram_protocol p = [] {
			wh_datagram_protocol p = {};
			p.base = glue::protocol(nullptr);
			p.start_protocol = [](wh_conn *s) { glue::of<DatagramProtocol>(s).startProtocol(); };
			p.datagram_received = [](wh_conn *s, const uint8_t *d, size_t n, const wh_address *from) {
				glue::of<DatagramProtocol>(s).datagramReceived({d, n}, *from);
			};
			p.connection_refused = [](wh_conn *s) { glue::of<DatagramProtocol>(s).connectionRefused(); };
			p.stop_protocol = [](wh_conn *s, wh_reason why) { glue::of<DatagramProtocol>(s).stopProtocol(why); };
			return p;
		}();
		return &p.base;
	}

private:
	int32_t send(Bytes b, const Address *to) const {
		wh_conn *s = transport.conn();
		return s != nullptr ? wh_write_datagram(s, b.p, b.n, to) : WH_ENOCONN;
	}
};

// Makes a socket for p, made with new, which is the SDK's from here on; see
// wh_open_datagram. 0, or a status.
inline int32_t openDatagram(const char *endpoint, DatagramProtocol *p) {
	wh_status status;
	wh_conn *s = wh_open_datagram(endpoint, reinterpret_cast<const wh_datagram_protocol *>(p->callbacks()), &status);
	if (s != nullptr)
		glue::join(s, p);
	else
		delete p;
	return status;
}

// The same, but the plugin behind plugin://NAME sees as's peer; see wh_connect_as.
inline int32_t connectAs(const Transport &as, const char *endpoint, int32_t ms, Protocol *p) {
	wh_status status = WH_ENOCONN;
	wh_conn *from = as.conn(), *c = from != nullptr ? wh_connect_as(from, endpoint, ms, p->callbacks(), &status) : nullptr;
	if (c != nullptr)
		glue::join(c, p);
	else
		delete p;
	return status;
}

// Framers: see wirehost.h. Limits and delimiters are set in connectionMade and
// restoreState, or later: before, a protocol has no transport.

class LineReceiver : public Protocol {
public:
	virtual void lineReceived(Bytes line) = 0; // without its delimiter
	virtual void rawDataReceived(Bytes) {}
	// A line is too long: its first bytes. Where it is not closed, what follows is read as
	// a new line, the rest of this one.
	virtual void lineLengthExceeded(Bytes) { transport.loseConnection(); }

	// The delimiter must stay, such as a constant.
	void setDelimiter(Bytes b) { wh_set_delimiter(transport.conn(), b.p, b.n); }
	void setMaxLength(uint32_t n) { wh_set_max_length(transport.conn(), n); }
	// What follows goes to rawDataReceived, until setLineMode with what that got too
	// much (the end of what it got).
	void setRawMode() { wh_set_raw_mode(transport.conn()); }
	void setLineMode(Bytes extra = {}) { wh_set_line_mode(transport.conn(), extra.p, extra.n); }
	bool rawMode() const { return wh_raw_mode(transport.conn()); }
	void clearLineBuffer() { wh_clear_line_buffer(transport.conn()); }

	int32_t sendLine(Bytes line) {
		wh_conn *c = transport.conn();
		return c != nullptr ? wh_send_line(c, line.p, line.n) : WH_ENOCONN;
	}

	const wh_protocol *callbacks() const override {
		static constexpr wh_protocol p = [] {
			wh_protocol p = glue::protocol(wh_line_receiver);
			p.line_received = [](wh_conn *c, const uint8_t *p, size_t n) { glue::of<LineReceiver>(c).lineReceived({p, n}); };
			p.raw_data_received = [](wh_conn *c, const uint8_t *p, size_t n) { glue::of<LineReceiver>(c).rawDataReceived({p, n}); };
			p.line_length_exceeded = [](wh_conn *c, const uint8_t *p, size_t n) {
				glue::of<LineReceiver>(c).lineLengthExceeded({p, n});
			};
			return p;
		}();
		return &p;
	}
};

// Strings behind their length; RECEIVE is a framer of wirehost.h and SEND its other side.
template <void (*RECEIVE)(wh_conn *, const uint8_t *, size_t), int32_t (*SEND)(wh_conn *, const void *, size_t)>
class StringReceiver : public Protocol {
public:
	virtual void stringReceived(Bytes s) = 0;
	virtual void lengthLimitExceeded(uint32_t) {} // closes when it returns

	void setMaxLength(uint32_t n) { wh_set_max_length(transport.conn(), n); }

	int32_t sendString(Bytes s) {
		wh_conn *c = transport.conn();
		return c != nullptr ? SEND(c, s.p, s.n) : WH_ENOCONN;
	}

	const wh_protocol *callbacks() const override {
		static constexpr wh_protocol p = [] {
			wh_protocol p = glue::protocol(RECEIVE);
			p.string_received = [](wh_conn *c, const uint8_t *p, size_t n) { glue::of<StringReceiver>(c).stringReceived({p, n}); };
			p.length_limit_exceeded = [](wh_conn *c, uint32_t n) { glue::of<StringReceiver>(c).lengthLimitExceeded(n); };
			return p;
		}();
		return &p;
	}
};

using NetstringReceiver = StringReceiver<wh_netstring_receiver, wh_send_netstring>;
using Int8Receiver = StringReceiver<wh_int8_receiver, wh_send_int8>;
using Int16Receiver = StringReceiver<wh_int16_receiver, wh_send_int16>;
using Int32Receiver = StringReceiver<wh_int32_receiver, wh_send_int32>;

} // namespace wirehost

// Says which class is the plugin's factory; it is made when it is first needed and
// stays. Once, outside of any namespace.
#define WIREHOST_FACTORY(F)                                                                                       \
	static F &wirehost_made() {                                                                               \
		static F *made;                                                                                   \
		return made != nullptr ? *made : *(made = new F);                                                 \
	}                                                                                                         \
	extern "C" constexpr wh_factory wirehost_factory = {                                                      \
		F::logPrefix,                                                                                     \
		F::stateVersion,                                                                                  \
		[] { return wirehost_made().start() ? 0 : -1; },                                                  \
		[] { wirehost_made().stop(); },                                                                   \
		[](wh_conn *c) { return wirehost::glue::join(c, wirehost_made().buildProtocol(wirehost::Transport(c))); }, \
		[](wh_conn *c) { return wirehost::glue::join(c, wirehost_made().buildClientProtocol(wirehost::Transport(c))); }, \
		[](wh_buf *out) { return wirehost_made().saveState(wirehost::glue::grown(out)); },                \
		[](int32_t version, const uint8_t *p, size_t n) {                                                 \
			return wirehost_made().restoreState(version, {p, n}) ? 0 : -1;                            \
		},                                                                                                \
	};                                                                                                        \
	extern "C" __attribute__((weak)) void __cxa_pure_virtual(void) { __builtin_trap(); }                      \
	WIREHOST_INITIALIZE

#define WIREHOST_DATAGRAM_FACTORY()                                                                                \
	static const wh_datagram_protocol *wirehost_build_datagram(wh_conn *s) {                                  \
		return reinterpret_cast<const wh_datagram_protocol *>(                                            \
			wirehost::glue::join(s, wirehost_made().buildDatagramProtocol(wirehost::Transport(s))));  \
	}                                                                                                         \
	extern "C" {                                                                                              \
	WIREHOST_DATAGRAMS(wirehost_build_datagram)                                                               \
	}

// Without a C++ library nothing else fills the place of a pure virtual function, or
// runs the constructors of globals. Their destructors are never run.
#ifdef __wasm__
#define WIREHOST_INITIALIZE                                                                                       \
	extern "C" void __wasm_call_ctors(void);                                                                  \
	extern "C" __attribute__((weak, export_name("_initialize"))) void _initialize(void) { __wasm_call_ctors(); } \
	extern "C" __attribute__((weak)) void *__dso_handle = nullptr;                                            \
	extern "C" __attribute__((weak)) int __cxa_atexit(void (*)(void *), void *, void *) { return 0; }
#else
#define WIREHOST_INITIALIZE
#endif

#endif
