package abi

import "strings"

// ValueType is a WASM value type, by its code in the binary format.
type ValueType byte

const (
	I32 ValueType = 0x7f
	I64 ValueType = 0x7e
	F32 ValueType = 0x7d
	F64 ValueType = 0x7c
)

func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
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
	return "?"
}

// Signature is a function's type.
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

// Equal compares two signatures.
func (s Signature) Equal(o Signature) bool { return s.String() == o.String() }

// sig reads the short form of a signature: a letter a value (i i32, l i64, d
// f64), results behind a colon.
func sig(short string) Signature {
	params, results, _ := strings.Cut(short, ":")
	read := func(s string) []ValueType {
		var types []ValueType
		for _, r := range s {
			types = append(types, map[rune]ValueType{'i': I32, 'l': I64, 'd': F64}[r])
		}
		return types
	}
	return Signature{read(params), read(results)}
}

// Need says whether a guest must have an export.
type Need int

const (
	May  Need = iota // optional
	Must             // every guest
	With             // a guest that has, or imports, what Export.With names
)

// Names of the exports.
const (
	ExportMemory                 = "memory"
	ExportVersion                = "abi_version_1"
	ExportInitialize             = "_initialize"
	ExportReceiveBuffer          = "receiveBuffer"
	ExportStartFactory           = "startFactory"
	ExportStopFactory            = "stopFactory"
	ExportBuildProtocol          = "buildProtocol"
	ExportConnectionMade         = "connectionMade"
	ExportDataReceived           = "dataReceived"
	ExportConnectionLost         = "connectionLost"
	ExportReadConnectionLost     = "readConnectionLost"
	ExportWriteConnectionLost    = "writeConnectionLost"
	ExportHandshakeCompleted     = "handshakeCompleted"
	ExportPauseProducing         = "pauseProducing"
	ExportResumeProducing        = "resumeProducing"
	ExportStopProducing          = "stopProducing"
	ExportDelayedCall            = "delayedCall"
	ExportClientConnectionFailed = "clientConnectionFailed"
	ExportLogPrefix              = "logPrefix"
	ExportStateVersion           = "stateVersion"
	ExportSaveState              = "saveState"
	ExportRestoreState           = "restoreState"
	ExportRestoreBuffer          = "restoreBuffer"
)

// Export is something that a guest exports: a function, but for memory.
type Export struct {
	Name string
	Signature
	Need    Need
	With    string // of Need With: the import (module.name) or export that asks for it
	Meaning string
}

// Exports is the table of what a guest exports.
func Exports() []Export {
	return []Export{
		{ExportMemory, Signature{}, Must, "", "the linear memory"},
		{ExportVersion, sig(""), Must, "", "a marker: present, never called"},
		{ExportInitialize, sig(""), May, "", "run once, right after instantiation"},
		{ExportReceiveBuffer, sig(":l"), Must, "", "packed (ptr, capacity) of the buffer for incoming bytes"},
		{ExportStartFactory, sig(":i"), May, "", "once, before the first connection; non-zero refuses to start"},
		{ExportStopFactory, sig(""), May, "", "once, after the last connection"},
		{ExportBuildProtocol, sig("i:i"), May, "", "for accepted connections; non-zero refuses"},
		{ExportConnectionMade, sig("i"), Must, "", "first for each connection, before any byte is read"},
		{ExportDataReceived, sig("iii"), Must, "", "bytes of the stream, at ptr inside the registered buffer"},
		{ExportConnectionLost, sig("ii"), Must, "", "exactly once, last"},
		{ExportReadConnectionLost, sig("i"), May, "", "the peer closed its writing side"},
		{ExportWriteConnectionLost, sig("i"), May, "", "our writing side is closed"},
		{ExportHandshakeCompleted, sig("i"), May, "", "TLS is up"},
		{ExportPauseProducing, sig("i"), With, "transport.registerProducer", "output is above high water"},
		{ExportResumeProducing, sig("i"), With, "transport.registerProducer", "output is below low water, or has emptied"},
		{ExportStopProducing, sig("i"), With, "transport.registerProducer", "the connection is gone"},
		{ExportDelayedCall, sig("i"), With, "reactor.callLater", "a timer is due"},
		{ExportClientConnectionFailed, sig("ii"), With, "reactor.connect", "the outgoing connection could not be made"},
		{ExportLogPrefix, sig(":l"), May, "", "packed name for log lines; 0 declines"},
		{ExportStateVersion, sig(":i"), May, "", "number of the layout that saveState writes"},
		{ExportSaveState, sig("i:l"), May, "", "packed bytes of one connection's state, conn 0 for the factory's; -1 declines"},
		{ExportRestoreState, sig("iiii:i"), May, "", "in a new instance, in place of connectionMade; non-zero refuses"},
		{ExportRestoreBuffer, sig("i:i"), May, "", "room for a state that the receive buffer does not hold; 0 refuses"},
	}
}

// Names of the modules that the host gives.
const (
	ModuleTransport = "transport"
	ModuleReactor   = "reactor"
	ModuleFactory   = "factory"
	ModuleLog       = "log"
	ModuleWASI      = "wasi_snapshot_preview1"
)

// Import is a function that the host gives.
type Import struct {
	Module, Name string
	Signature
	Meaning string
}

// Key is module.name.
func (i Import) Key() string { return i.Module + "." + i.Name }

// Imports is the table of what the host gives, but for WASI's.
func Imports() []Import {
	t, r := ModuleTransport, ModuleReactor
	return []Import{
		{t, "write", sig("iii:i"), "queue bytes in order; the bytes now queued"},
		{t, "writeSequence", sig("iii:i"), "write n pairs (ptr, len) of u32"},
		{t, "loseConnection", sig("i:i"), "stop reading, flush, close"},
		{t, "loseWriteConnection", sig("i:i"), "flush, then close the writing side"},
		{t, "abortConnection", sig("i:i"), "drop output, reset"},
		{t, "pauseProducing", sig("i:i"), "stop reading"},
		{t, "resumeProducing", sig("i:i"), "start reading"},
		{t, "registerProducer", sig("ii:i"), "streaming 1 = push, 0 = pull"},
		{t, "unregisterProducer", sig("i:i"), "let closing go on"},
		{t, "state", sig("i:i"), "bits"},
		{t, "setTimeout", sig("ii:i"), "close after ms without a byte; 0 clears"},
		{t, "getPeer", sig("iii:i"), "the remote endpoint as text; its length"},
		{t, "getHost", sig("iii:i"), "our endpoint as text; its length"},
		{t, "reason", sig("iii:i"), "the reason as text, where there is one"},
		{t, "setTcpNoDelay", sig("ii:i"), "on at the start"},
		{t, "setTcpKeepAlive", sig("ii:i"), "off at the start"},
		{t, "startTLS", sig("i:i"), "server side, with the listener's certificate"},
		{t, "getPeerCertificate", sig("iii:i"), "DER of the leaf; its length"},
		{t, "negotiatedProtocol", sig("iii:i"), "ALPN; its length"},
		{r, "callLater", sig("i:i"), "a timer after ms"},
		{r, "cancel", sig("i:i"), "end a timer"},
		{r, "reset", sig("ii:i"), "move a timer to ms from now"},
		{r, "seconds", sig(":d"), "monotonic, from the reactor's clock"},
		{r, "connect", sig("iii:i"), "a connection to a text endpoint, within ms"},
		{ModuleFactory, "config", sig("ii:i"), "the plugin's configuration as JSON; its length"},
		{ModuleLog, "emit", sig("iii:i"), "a log line"},
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
		list[i] = Import{ModuleWASI, name, sig(signature), ""}
	}
	return list
}
