package abi

import (
	"fmt"
	"slices"
	"strings"
)

// ValueType is a WASM value type, by its code in the binary format.
type ValueType byte

// The types of the contract's functions. Package wasmbin has the others.
const (
	I32 ValueType = 0x7f // a number, a handle, a length or a pointer
	I64 ValueType = 0x7e // a packed range
	F64 ValueType = 0x7c // seconds, or what a metric records
)

// String is the name in the text format, such as i32 or externref.
func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case 0x7d:
		return "f32"
	case F64:
		return "f64"
	case 0x7b:
		return "v128"
	case 0x70:
		return "funcref"
	case 0x6f:
		return "externref"
	}
	return fmt.Sprintf("type %#x", byte(t))
}

// Signature is a function's type: the values that it takes and returns, in order.
type Signature struct {
	Params, Results []ValueType
}

// String is the form `(i32, i32) -> i64`.
func (s Signature) String() string {
	list := func(types []ValueType) string {
		names := make([]string, len(types))
		for i, t := range types {
			names[i] = t.String()
		}
		return strings.Join(names, ", ")
	}
	switch len(s.Results) {
	case 0:
		return "(" + list(s.Params) + ")"
	case 1:
		return "(" + list(s.Params) + ") -> " + list(s.Results)
	}
	return "(" + list(s.Params) + ") -> (" + list(s.Results) + ")"
}

// Equal compares two signatures, in which nil and empty are the same.
func (s Signature) Equal(o Signature) bool {
	return slices.Equal(s.Params, o.Params) && slices.Equal(s.Results, o.Results)
}

// sig reads a signature as ABI.md writes it, such as `(conn, ptr, len) -> i32`:
// parameters are i32 but for `value f64`, and so is a result that is a pointer.
func sig(text string) Signature {
	var s Signature
	in, out, _ := strings.Cut(text, " -> ")
	for _, param := range params(in) {
		if strings.HasSuffix(param, " f64") {
			s.Params = append(s.Params, F64)
		} else {
			s.Params = append(s.Params, I32)
		}
	}
	switch out {
	case "i32", "ptr":
		s.Results = []ValueType{I32}
	case "i64":
		s.Results = []ValueType{I64}
	case "f64":
		s.Results = []ValueType{F64}
	}
	return s
}

// params are the parameters in a signature's text: a name each, with a type that is not i32.
func params(text string) []string {
	in, _, _ := strings.Cut(text, " -> ")
	if in = strings.Trim(in, "()"); in == "" {
		return nil
	}
	return strings.Split(in, ", ")
}

// paramNames are their names.
func paramNames(text string) []string {
	names := params(text)
	for n, param := range names {
		names[n], _, _ = strings.Cut(param, " ")
	}
	return names
}

// wasiSig reads a signature of WASI's: a letter a value (i i32, l i64), results
// behind a colon.
func wasiSig(short string) Signature {
	params, results, _ := strings.Cut(short, ":")
	read := func(s string) []ValueType {
		var types []ValueType
		for _, r := range s {
			types = append(types, map[rune]ValueType{'i': I32, 'l': I64}[r])
		}
		return types
	}
	return Signature{read(params), read(results)}
}

// need says whether a guest must have an export.
type need int

const (
	may  need = iota // optional
	must             // every guest
	with             // a guest that imports one of what Export.with names
	talk             // a guest that can have connections: any but one of datagrams alone
)

// Names of the exports that are no callbacks.
const (
	ExportMemory     = "memory"
	ExportVersion    = "abi_version_1" // the marker
	ExportInitialize = "_initialize"   // WASI's, of reactors
)

// Export is something that a guest exports: a function, but for memory, whose
// Signature is empty.
type Export struct {
	Name string
	Signature
	need    need
	with    string // the imports (module.name, spaces part them) that ask for it
	Meaning string
}

// Exports is the table of what a guest exports, in ABI.md's order.
func Exports() []Export {
	return []Export{
		{ExportMemory, Signature{}, must, "", "the linear memory"},
		{ExportVersion, sig("()"), must, "", "a marker: present, never called"},
		{ExportInitialize, sig("()"), may, "", "run once, right after instantiation"},
		{"receiveBuffer", sig("() -> i64"), must, "", "packed (ptr, capacity) of the buffer for incoming bytes"},
		{"startFactory", sig("() -> i32"), may, "", "once, before the first connection; non-zero refuses to start"},
		{"stopFactory", sig("()"), may, "", "once, after the last connection"},
		{"buildProtocol", sig("(conn) -> i32"), may, "", "for accepted connections; non-zero refuses"},
		{"connectionMade", sig("(conn)"), talk, "", "first for each connection, before any byte is read"},
		{"dataReceived", sig("(conn, ptr, len)"), talk, "",
			"bytes of the stream, at ptr inside the registered buffer"},
		{"connectionLost", sig("(conn, reason)"), talk, "", "exactly once, last"},
		{"readConnectionLost", sig("(conn)"), may, "", "the peer closed its writing side"},
		{"writeConnectionLost", sig("(conn)"), may, "", "our writing side is closed"},
		{"handshakeCompleted", sig("(conn)"), may, "", "TLS is up"},
		{"pauseProducing", sig("(conn)"), with, "transport.registerProducer", "output is above high water"},
		{"resumeProducing", sig("(conn)"), with, "transport.registerProducer",
			"output is below low water, or has emptied"},
		{"stopProducing", sig("(conn)"), with, "transport.registerProducer", "the connection is gone"},
		{"delayedCall", sig("(timer)"), with, "reactor.callLater", "a timer is due"},
		{"clientConnectionFailed", sig("(conn, reason)"), with, "reactor.connect reactor.connectAs",
			"the outgoing connection could not be made"},
		{"startProtocol", sig("(sock)"), may, "", "first for each datagram socket: it is bound or connected"},
		{"datagramsReceived", sig("(sock, ptr, n)"), with, "datagram.open",
			"n records at ptr, inside the registered buffer"},
		{"connectionRefused", sig("(sock)"), may, "",
			"of a connected datagram socket: nobody listens at the peer's port"},
		{"stopProtocol", sig("(sock, reason)"), with, "datagram.open", "exactly once, last for each datagram socket"},
		{"logPrefix", sig("() -> i64"), may, "", "packed name for log lines; 0 declines"},
		{"instanceMade", sig("(ptr, len)"), may, "",
			"once in each instance: random bytes, to seed anew what the module seeded at its start"},
		{"stateVersion", sig("() -> i32"), may, "", "number of the layout that saveState writes"},
		{"saveState", sig("(conn) -> i64"), may, "",
			"packed bytes of one connection's state, conn 0 for the factory's; -1 declines"},
		{"restoreState", sig("(conn, version, ptr, len) -> i32"), may, "",
			"in a new instance, in place of connectionMade; non-zero refuses"},
		{"restoreBuffer", sig("(len) -> ptr"), may, "",
			"room for a state that the receive buffer does not hold; 0 refuses"},
	}
}

// ModuleWASI is the name of the module that has WASI preview 1.
const ModuleWASI = "wasi_snapshot_preview1"

// Import is a function that the host gives. ParamNames are ABI.md's, one for each
// of Params; WASI's have none.
type Import struct {
	Module, Name string
	Signature
	ParamNames []string
	Meaning    string
}

// Key is how the import is named in one word: module.name.
func (i Import) Key() string { return i.Module + "." + i.Name }

// Imports is the table of what the host gives, but for WASI's, in ABI.md's order.
func Imports() []Import {
	in := func(module, name, signature, meaning string) Import {
		return Import{module, name, sig(signature), paramNames(signature), meaning}
	}
	const t, r, a, d = "transport", "reactor", "assets", "datagram"
	return []Import{
		in(t, "write", "(conn, ptr, len) -> i32", "queue bytes in order; the bytes now queued"),
		in(t, "writeSequence", "(conn, iov, n) -> i32", "write n pairs (ptr, len) of u32"),
		in(t, "loseConnection", "(conn) -> i32", "stop reading, flush, close"),
		in(t, "loseWriteConnection", "(conn) -> i32", "flush, then close the writing side"),
		in(t, "abortConnection", "(conn) -> i32", "drop output, reset"),
		in(t, "pauseProducing", "(conn) -> i32", "stop reading"),
		in(t, "resumeProducing", "(conn) -> i32", "start reading"),
		in(t, "registerProducer", "(conn, streaming) -> i32", "streaming 1 = push, 0 = pull"),
		in(t, "unregisterProducer", "(conn) -> i32", "let closing go on"),
		in(t, "state", "(conn) -> i32", "bits"),
		in(t, "setTimeout", "(conn, ms) -> i32", "close after ms without a byte; 0 clears"),
		in(t, "getPeer", "(conn, buf, cap) -> i32", "the remote endpoint as text; its length"),
		in(t, "getHost", "(conn, buf, cap) -> i32", "our endpoint as text; its length"),
		in(t, "reason", "(conn, buf, cap) -> i32", "the reason as text, where there is one"),
		in(t, "setTcpNoDelay", "(conn, on) -> i32", "on at the start"),
		in(t, "setTcpKeepAlive", "(conn, on) -> i32", "off at the start"),
		in(t, "startTLS", "(conn) -> i32", "server side, with the listener's certificate"),
		in(t, "startTLSClient", "(conn, name, len) -> i32", "client side, verified for the name"),
		in(t, "getPeerCertificate", "(conn, buf, cap) -> i32", "DER of the leaf; its length"),
		in(t, "negotiatedProtocol", "(conn, buf, cap) -> i32", "ALPN; its length"),
		in(t, "listener", "(conn) -> i32", "the listener it came from; 0 = a configured one"),
		in(t, "handOver", "(conn, plugin, plen, ptr, len) -> i32",
			"give the connection to another plugin, with its first bytes"),
		in(r, "callLater", "(ms) -> i32", "a timer after ms"),
		in(r, "cancel", "(timer) -> i32", "end a timer"),
		in(r, "reset", "(timer, ms) -> i32", "move a timer to ms from now"),
		in(r, "seconds", "() -> f64", "monotonic, from the reactor's clock"),
		in(r, "connect", "(endpoint, len, ms) -> i32", "a connection to a text endpoint, within ms"),
		in(r, "listen", "(endpoint, len) -> i32", "a listener at a text endpoint"),
		in(r, "stopListening", "(listener) -> i32", "close a listener; its connections go on"),
		in(r, "connectAs", "(conn, endpoint, len, ms) -> i32", "connect, in the name of a connection"),
		in(r, "time", "() -> f64", "seconds since 1970, UTC"),
		in(r, "random", "(buf, len) -> i32", "random bytes of the system's"),
		in("factory", "config", "(buf, cap) -> i32", "the plugin's configuration as JSON; its length"),
		in("log", "emit", "(level, ptr, len) -> i32", "a log line"),
		in("metrics", "define", "(kind, name, len) -> i32", "the id of a metric of the plugin's own"),
		in("metrics", "record", "(id, value f64) -> i32", "add to a counter, set a gauge, observe"),
		in(a, "count", "() -> i32", "files of the plugin's assets, sorted by name"),
		in(a, "name", "(i, buf, cap) -> i32", "the name of a file, with / between folders; its length"),
		in(a, "size", "(i) -> i32", "bytes of a file"),
		in(a, "read", "(i, offset, buf, len) -> i32", "bytes of a file from offset on; how many were copied"),
		in(d, "send", "(sock, ptr, n) -> i32", "send n records; how many the system took"),
		in(d, "open", "(endpoint, len) -> i32", "a datagram socket for a text endpoint"),
		in(d, "join", "(sock, group, len) -> i32", "receive what is sent to a multicast group"),
		in(d, "leave", "(sock, group, len) -> i32", "the end of join"),
		in(d, "setOption", "(sock, option, value) -> i32", "set an option of a datagram socket"),
	}
}

// WASI is the table of the functions of WASI preview 1 that link. What they do
// is in ABI.md: standard libraries import more than they use.
func WASI() []Import {
	short := []string{
		"args_get ii:i", "args_sizes_get ii:i", "environ_get ii:i", "environ_sizes_get ii:i",
		"clock_res_get ii:i", "clock_time_get ili:i",
		"fd_advise illi:i", "fd_allocate ill:i", "fd_close i:i", "fd_datasync i:i", "fd_fdstat_get ii:i",
		"fd_fdstat_set_flags ii:i", "fd_fdstat_set_rights ill:i", "fd_filestat_get ii:i", "fd_filestat_set_size il:i",
		"fd_filestat_set_times illi:i", "fd_pread iiili:i", "fd_prestat_get ii:i", "fd_prestat_dir_name iii:i",
		"fd_pwrite iiili:i", "fd_read iiii:i", "fd_readdir iiili:i", "fd_renumber ii:i", "fd_seek ilii:i",
		"fd_sync i:i", "fd_tell ii:i", "fd_write iiii:i",
		"path_create_directory iii:i", "path_filestat_get iiiii:i", "path_filestat_set_times iiiilli:i",
		"path_link iiiiiii:i", "path_open iiiiillii:i", "path_readlink iiiiii:i", "path_remove_directory iii:i",
		"path_rename iiiiii:i", "path_symlink iiiii:i", "path_unlink_file iii:i",
		"poll_oneoff iiii:i", "proc_exit i", "proc_raise i:i", "random_get ii:i", "sched_yield :i",
		"sock_accept iii:i", "sock_recv iiiiii:i", "sock_send iiiii:i", "sock_shutdown ii:i",
	}
	list := make([]Import, len(short))
	for i, s := range short {
		name, signature, _ := strings.Cut(s, " ")
		list[i] = Import{Module: ModuleWASI, Name: name, Signature: wasiSig(signature)}
	}
	return list
}
