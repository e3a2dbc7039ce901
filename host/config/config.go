// Package config reads wirehost's configuration: defaults, file, environment
// and flags, in that order, with errors that say where and what. A program that
// needs no file puts a Config together, and calls WithDefaults and Validate.
//
// Load is for the command. It goes like this: a source becomes a document (a tree
// of values, and the lines they stand in); the document is held against the types
// of Config and the rules, and koanf lays it over those before it; the whole is
// decoded into a Config, and what concerns several settings is checked.
package config

import "time"

// Size is a number of bytes, written in configuration as 64KiB, 16MiB or a
// plain number.
type Size int64

// Config is the whole configuration. The fields' tags are the settings' names; a
// dotted name such as plugins.echo.limits.memory says where one is in the whole.
type Config struct {
	Log       Log               `koanf:"log"`
	Reactor   Reactor           `koanf:"reactor"`
	Admin     Admin             `koanf:"admin"`
	Monitor   Monitor           `koanf:"monitor"`
	AccessLog AccessLog         `koanf:"access_log"`
	OTLP      OTLP              `koanf:"otlp"`
	Cache     Cache             `koanf:"cache"`
	State     State             `koanf:"state"`
	Trust     Trust             `koanf:"trust"`
	Plugins   map[string]Plugin `koanf:"plugins"`
	Listeners []Listener        `koanf:"listeners"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `koanf:"level"`  // trace, debug, info, warn, error
	Format string `koanf:"format"` // text, json
}

// Reactor holds the event loops' settings.
type Reactor struct {
	Loops          int           `koanf:"loops"`          // 0 = GOMAXPROCS
	Backend        string        `koanf:"backend"`        // auto, epoll, portable
	PreStop        time.Duration `koanf:"pre_stop"`       // at the end: how long it still serves, unready, before that
	DrainTimeout   time.Duration `koanf:"drain_timeout"`  // at the end: how long connections may finish
	CloseTimeout   time.Duration `koanf:"close_timeout"`  // loseConnection: how long a flush may make no progress
	WriteTimeout   time.Duration `koanf:"write_timeout"`  // the same without loseConnection
	ClosedTimeout  time.Duration `koanf:"closed_timeout"` // how long a peer's FIN may lie behind unread bytes
	WriteBuffer    WriteBuffer   `koanf:"write_buffer"`
	TLSRecords     string        `koanf:"tls_records"`     // auto, library
	MaxConnections int           `koanf:"max_connections"` // 0 = what the descriptor limit allows
	MaxMemory      Size          `koanf:"max_memory"`      // resident; 0 = the control group's, or the machine's
}

// WriteBuffer holds a connection's output watermarks.
type WriteBuffer struct {
	High Size `koanf:"high"` // above it reading from that peer stops
	Low  Size `koanf:"low"`  // below it reading goes on
	Max  Size `koanf:"max"`  // above it the connection is aborted
}

// Admin says where administrators are listened for, and how they are known. On a Unix
// socket its mode lets them in; on TCP a token, or a certificate.
type Admin struct {
	Listen    string   `koanf:"listen"`     // "" = the default, "off", unix://…, tcp://…
	TokenFile string   `koanf:"token_file"` // of the token that requests on TCP must bear; "" = none
	TLS       AdminTLS `koanf:"tls"`        // of TCP: needed where others than this machine can reach it
}

// AdminTLS is the administration's server side of TLS.
type AdminTLS struct {
	Cert     string `koanf:"cert"`      // PEM file of the certificate and what signed it
	Key      string `koanf:"key"`       // PEM file
	ClientCA string `koanf:"client_ca"` // PEM file: who has a certificate of it needs no token; "" = none
}

// Monitor says where probes and scrapes are answered, apart from administration.
type Monitor struct {
	Listen string `koanf:"listen"` // "" = nowhere; unix://…, tcp:// on any address
}

// AccessLog says where each connection gets a line at its end.
type AccessLog struct {
	To     string `koanf:"to"`     // "" = nowhere, stderr, file://PATH
	Format string `koanf:"format"` // text, json
}

// OTLP says where traces go, as OpenTelemetry's protocol over HTTP has them.
type OTLP struct {
	Endpoint string `koanf:"endpoint"` // "" = nowhere; http://HOST:PORT, https://HOST:PORT
	Sample   string `koanf:"sample"`   // of the connections that are accepted or made, in percent: 1%, 0.05%
}

// Cache says where compiled modules are kept.
type Cache struct {
	Dir  string `koanf:"dir"`  // "" = the user's cache directory, "off" = none
	Size Size   `koanf:"size"` // past it the entries leave that were used least recently
}

// State says where it is kept what administrators have changed, beyond the process:
// pinned versions, and plugins that were loaded or unloaded to stay so.
type State struct {
	Dir string `koanf:"dir"` // "" = $STATE_DIRECTORY, or else the user's state directory; "off" = none
}

// Trust says whose modules are run, wherever they come from; those that the program
// carries (builtin:NAME) need no signature.
type Trust struct {
	Keys []string `koanf:"keys"` // public keys of minisign; none = every module is
}

// Plugin is one plugin: a module, how it is run, and what it may do.
type Plugin struct {
	Module    string        `koanf:"module"` // builtin:NAME, a path, https://… or oci://HOST/NAME:TAG
	Pull      PullPolicy    `koanf:"pull"`   // when what is fetched is fetched
	SHA256    string        `koanf:"sha256"` // of the module, in hex: any other is refused; "" = none is
	Assets    string        `koanf:"assets"` // a folder that the guest reads; "" = none
	Isolation Isolation     `koanf:"isolation"`
	Reload    ReloadPolicy  `koanf:"reload"`
	Watch     bool          `koanf:"watch"`  // go over to the module when its file changes
	Config    any           `koanf:"config"` // the guest reads it as JSON; once a host has it, not to be changed
	Drain     time.Duration `koanf:"drain"`  // how long a replaced version may keep its connections
	// for moving all connections to a new version; those that are left stay
	MoveTime time.Duration `koanf:"move_time"`
	Keep     int           `koanf:"keep_versions"` // replaced ones without connections that stay loaded
	Canary   Canary        `koanf:"canary"`
	Image    bool          `koanf:"image"`    // instances are made from an image of the first one's start
	PageOut  time.Duration `koanf:"page_out"` // of an instance with a connection of its own: how long idle; 0 = never
	GoJumps  bool          `koanf:"go_jumps"` // what Go's compiler makes of jumps and addresses is made short again
	Limits   Limits        `koanf:"limits"`
	Allow    Allow         `koanf:"allow"`
}

// Canary says how many new connections try a version before the rest move. With 0 in
// either field there is none.
type Canary struct {
	Connections int           `koanf:"connections"`
	For         time.Duration `koanf:"for"` // a trap of the version within that time undoes the change
}

// Limits bound what one plugin may take.
type Limits struct {
	Memory         Size          `koanf:"memory"`          // of an instance: linear memory, and at its start all else
	Stack          Size          `koanf:"stack"`           // of calls within a callback, as the meter weighs them
	Table          int           `koanf:"table"`           // elements of all tables of an instance
	CallbackTime   time.Duration `koanf:"callback_time"`   // of a processor, a callback; a start has ten times as long
	Instances      int           `koanf:"instances"`       // at one time, of each version; 0 = no bound
	Timers         int           `koanf:"timers"`          // of an instance
	ConnectionsOut int           `koanf:"connections_out"` // of an instance
	Links          int           `koanf:"links"`           // connections to other plugins, all instances together
	Sockets        int           `koanf:"sockets"`         // datagram sockets that an instance has opened
	Listeners      int           `koanf:"listeners"`       // that an instance has made
	State          Size          `koanf:"state"`           // saved state of one connection
	LogBytes       Size          `koanf:"log_bytes"`       // a second
	Metrics        int           `koanf:"metrics"`         // of the plugin's own, all instances together
	Module         Size          `koanf:"module"`          // the file
	Assets         Size          `koanf:"assets"`          // all files of the folder, with their names
	AssetFiles     int           `koanf:"asset_files"`     // files and folders in it
	CompileTime    time.Duration `koanf:"compile_time"`
	CompileMemory  Size          `koanf:"compile_memory"` // of the process that compiles
}

// Allow says what a plugin may reach outside. Nothing is the default.
type Allow struct {
	Connect  []string `koanf:"connect"`   // endpoints, plugin://NAME too; * stands for any host, port or name
	Private  bool     `koanf:"private"`   // names may resolve to loopback, private and link-local addresses
	CA       string   `koanf:"ca"`        // PEM file to verify outgoing TLS with; "" = the system's
	Listen   []string `koanf:"listen"`    // endpoints, as in Connect, but of this machine; host or port may be 0
	TLS      TLS      `koanf:"tls"`       // of the connections that come to where the guest listens
	HandOver []string `koanf:"hand_over"` // plugins that may be given connections
}

// Listener is one listening socket and the plugin behind it.
type Listener struct {
	// tcp://HOST:PORT, tls://HOST:PORT or unix://PATH; for datagrams udp://HOST:PORT or unixgram://PATH
	Endpoint string `koanf:"endpoint"`
	Plugin   string `koanf:"plugin"` // a key of Config.Plugins
	// in place of Plugin, several of them: the first has the connections, and each reaches the one
	// behind it as plugin://next
	Chain          []string `koanf:"chain"`
	MaxConnections int      `koanf:"max_connections"` // live ones; 0 = no limit of its own
	// connections; what is more waits with the system; 0 = any number
	NewPerSecond int           `koanf:"new_per_second"`
	PerPeer      PerPeer       `koanf:"per_peer"`
	Rate         Rate          `koanf:"rate"`
	IdleTimeout  time.Duration `koanf:"idle_timeout"` // closes a connection without a byte for so long; 0 = never
	MaxAge       time.Duration `koanf:"max_age"`      // closes a connection that is so old; 0 = never
	ReusePort    bool          `koanf:"reuse_port"`   // other processes of the same user may listen there, too
	Mode         string        `koanf:"mode"`         // of a Unix socket's file, in octal digits
	// of that file: a user's name or number; "" = who runs the server
	Owner         string   `koanf:"owner"`
	Group         string   `koanf:"group"`          // the same of a group
	ReceiveBuffer Size     `koanf:"receive_buffer"` // of each socket for datagrams; 0 = the system's
	Multicast     []string `koanf:"multicast"`      // groups that its protocol may join, as CIDR
	Broadcast     bool     `koanf:"broadcast"`      // its protocol may send to all of a network
	TLS           TLS      `koanf:"tls"`
	ProxyProtocol bool     `koanf:"proxy_protocol"` // a PROXY header, v1 or v2, begins each connection
	ProxyFrom     []string `koanf:"proxy_from"`     // trusted sources, as CIDR
	// Route chooses another plugin for a connection, by what it begins with: the first rule
	// that holds. Plugin gets those for which none does; "" = they are closed.
	Route        []Route       `koanf:"route"`
	RouteTimeout time.Duration `koanf:"route_timeout"` // how long who says too little is waited for
}

// Words are one text or several; a file has a text for a list of one.
type Words []string

// Route is a rule for who gets a connection. All matchers that are given must hold, and of
// each one of its list.
type Route struct {
	SNI    Words  `koanf:"sni"`    // the name that TLS's client asks for; *.DOMAIN for the names in it, * for any
	ALPN   Words  `koanf:"alpn"`   // a protocol that it offers; on tls://, the chosen one
	Prefix Words  `koanf:"prefix"` // the first bytes: text, or hex: and digits
	Regexp Words  `koanf:"regexp"` // of RE2, for the first 1 KiB
	Source Words  `koanf:"source"` // addresses and networks
	Plugin string `koanf:"plugin"` // who gets it: a key of Config.Plugins
}

// PerPeer bounds what one address, or one network, may have of a listener: the address
// of the PROXY header, where there is one.
type PerPeer struct {
	Connections  int `koanf:"connections"`    // live ones; 0 = any number
	NewPerSecond int `koanf:"new_per_second"` // those that are over are refused; 0 = any number
	IPv4Prefix   int `koanf:"ipv4_prefix"`    // bits of an address that tell one peer from another
	IPv6Prefix   int `koanf:"ipv6_prefix"`
	// of a source; those that are over are dropped, and counted; 0 = any number
	DatagramsPerSecond int `koanf:"datagrams_per_second"`
}

// Rate bounds the bytes a second of each connection; 0 = any number.
type Rate struct {
	In    Size `koanf:"in"`    // the connection is not read meanwhile
	Out   Size `koanf:"out"`   // what the guest writes is queued meanwhile
	Least Size `koanf:"least"` // who is slower for ten seconds, with something begun or something to take, is cut off
}

// TLS is the server side of TLS of a listener, or of those that a guest makes: of tls:// from the first byte, of the
// others
// when the guest calls startTLS.
type TLS struct {
	Cert             string        `koanf:"cert"`         // PEM file of the certificate and what signed it
	Key              string        `koanf:"key"`          // PEM file
	Certificates     []Certificate `koanf:"certificates"` // more of them; each client gets one for the name it asks for
	ClientCA         string        `koanf:"client_ca"`    // PEM file: clients must have a certificate of it; "" = none
	ALPN             []string      `koanf:"alpn"`         // protocols, the preferred one first
	MinVersion       string        `koanf:"min_version"`  // of TLS: 1.2, 1.3
	HandshakeTimeout time.Duration `koanf:"handshake_timeout"`
}

// Certificate is one of several that a listener has.
type Certificate struct {
	Cert string `koanf:"cert"` // PEM file of the certificate and what signed it
	Key  string `koanf:"key"`  // PEM file
}

// All are the certificates, that of Cert and Key first. The first is for clients that
// ask for no name, or for one that none of them has.
func (t TLS) All() []Certificate {
	if t.Cert == "" && t.Key == "" {
		return t.Certificates
	}
	return append([]Certificate{{t.Cert, t.Key}}, t.Certificates...)
}
