package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Each case's file is c.yaml unless name says otherwise; FILE stands for its
// path, and every line of want for one fault.
func TestFaults(t *testing.T) {
	const ok = "plugins: {a: {module: builtin:a}}\n"
	ls := func(text string) string { return ok + "listeners:\n- " + text + "\n" }
	cases := []struct {
		name, file string
		ext        string
		env, set   []string
		want       string
	}{
		{name: "unknown key", file: "log:\n  levl: info\n",
			want: `FILE:2: log.levl: found an unknown key, wanted one of level, format; did you mean "level"?`},
		{name: "unknown key, none near", file: "zzz: 1\n",
			want: `FILE:1: zzz: found an unknown key, wanted one of SECTIONS, include`},
		{name: "key in capitals", file: "Log: {}\n",
			want: `FILE:1: Log: found an unknown key, wanted one of SECTIONS, include; ` +
				`did you mean "log"?`},
		{name: "number for text", file: "log: {level: 3}\n",
			want: `FILE:1: log.level: found the number 3, wanted text (put it in quotes)`},
		{name: "text for number", file: "reactor: {loops: many}\n",
			want: `FILE:1: reactor.loops: found "many", wanted a whole number`},
		{name: "fraction for number", file: "reactor: {loops: 1.5}\n",
			want: `FILE:1: reactor.loops: found the number 1.5, wanted a whole number`},
		{name: "text for flag", file: "plugins:\n  a:\n    module: x\n    watch: \"yes\"\n",
			want: `FILE:4: plugins.a.watch: found "yes", wanted true or false`},
		{name: "list for section", file: "log: [1]\n", want: `FILE:1: log: found a list, wanted a mapping`},
		{name: "section for list", file: ok + "listeners: {endpoint: x}\n",
			want: `FILE:2: listeners: found a mapping, wanted a list`},
		{name: "digits for list in a file", file: ok + "listeners: {0: {endpoint: x}}\n",
			want: `FILE:2: listeners: found a mapping, wanted a list`},
		{name: "nothing for text", file: "log: {level: }\n", want: `FILE:1: log.level: found nothing, wanted text`},
		{name: "whole file a list", file: "- a\n",
			want: `FILE:1: found a list, wanted a mapping with keys such as plugins and listeners`},
		{name: "bad word", file: "log: {level: infos}\n",
			want: `FILE:1: log.level: found "infos", wanted trace, debug, info, warn or error; did you mean "info"?`},
		{name: "bad backend", file: "reactor: {backend: iocp}\n",
			want: `FILE:1: reactor.backend: found "iocp", wanted auto, epoll or portable`},
		{name: "range", file: "reactor: {loops: -1, max_connections: -5}\n",
			want: "FILE:1: reactor.loops: found the number -1, wanted 0 to 1024\n" +
				"FILE:1: reactor.max_connections: found the number -5, wanted 0 to 2147483647"},
		{name: "duration without unit", file: "reactor: {drain_timeout: 30}\n",
			want: `FILE:1: reactor.drain_timeout: found the number 30, wanted a duration such as 100ms, 30s, 10m or ` +
				`1h30m`},
		{name: "duration below 0", file: "reactor: {drain_timeout: -1s}\n",
			want: `FILE:1: reactor.drain_timeout: found -1s, wanted a duration of 0 or more`},
		{name: "duration of 0", file: "reactor: {close_timeout: 0s}\n",
			want: `FILE:1: reactor.close_timeout: found 0s, wanted a duration above 0`},
		{name: "size", file: "reactor: {write_buffer: {high: 64kb}}\n",
			want: `FILE:1: reactor.write_buffer.high: found "64kb", wanted a size such as 512, 64KiB, 16MiB or 1GiB`},
		{name: "size range", file: ok + "  \n", set: []string{"plugins.a.limits.memory=1KiB"},
			want: `--set: plugins.a.limits.memory: found 1KiB, wanted 64KiB to 4GiB`},
		{name: "watermarks", file: "reactor:\n  write_buffer:\n    high: 16KiB\n",
			want: `FILE:2: reactor.write_buffer.low: found 32KiB (the default), wanted at most high, which is 16KiB`},
		{name: "watermark above the cap", file: "reactor: {write_buffer: {high: 32MiB}}\n",
			want: `FILE:1: reactor.write_buffer.high: found 32MiB, wanted at most max, which is 16MiB (the default)`},
		{name: "plugin without module", file: "plugins:\n  a: {watch: false}\n",
			want: `FILE:2: plugins.a.module: found no module, wanted MODULE-WANTED`},
		{name: "empty module", file: "plugins:\n  a: {module: \"\"}\n",
			want: `FILE:2: plugins.a.module: found "", wanted MODULE-WANTED`},
		{name: "plugin's name", file: "plugins:\n  My.Echo: {module: x}\n",
			want: `FILE:2: plugins.My.Echo: found the name "My.Echo", wanted 1 to 64 of the letters a to z, digits, ` +
				`_ and -`},
		{name: "plugin called next", file: "plugins: {next: {module: x}}\n",
			want: `FILE:1: plugins.next: found the name "next", wanted another one: plugin://next is the ` +
				`plugin behind in a chain`},
		{name: "allow plugins", file: "plugins: {a: {module: x, allow: {connect: [\"plugin://next\", " +
			"\"plugin://A\", \"plugin://*\"]}}}\n", want: "FILE:1: plugins.a.allow.connect.0: found " +
			"\"plugin://next\", wanted plugin://NAME of a plugin: a chain allows the one behind by itself\nFILE:1: " +
			"plugins.a.allow.connect.1: found \"plugin://A\", wanted plugin://NAME of a plugin, or plugin://* for all"},
		{name: "plugins in a circle", file: "plugins:\n  a: {module: x, allow: {connect: [\"plugin://b\"]}}\n" +
			"  b: {module: x, allow: {connect: [\"tcp://h:1\", \"plugin://c\"]}}\n" +
			"  c: {module: x, allow: {connect: [\"plugin://gone\", \"plugin://b\"]}}\n",
			want: `FILE:4: plugins.c.allow.connect.1: found "plugin://b", which leads in a circle (b -> c -> b), ` +
				`wanted plugins that do not connect to themselves by others`},
		{name: "isolation", file: "plugins: {a: {module: x, isolation: loops}}\n",
			want: `FILE:1: plugins.a.isolation: found "loops", wanted connection, loop or shared; ` +
				`did you mean "loop"?`},
		{name: "reload", file: "plugins: {a: {module: x, reload: swap}}\n",
			want: `FILE:1: plugins.a.reload: found "swap", wanted migrate, drain or drop`},
		{name: "sha256", file: "plugins: {a: {module: x, sha256: abc}}\n",
			want: `FILE:1: plugins.a.sha256: found "abc" (3 characters), wanted 64 hexadecimal digits`},
		{name: "allow", file: "plugins: {a: {module: x, allow: {connect: [\"tcp://a*.example:1\", \"tcp://h\", " +
			"\"tcp://*:*\"]}}}\n", want: "FILE:1: plugins.a.allow.connect.0: found \"tcp://a*.example:1\", wanted an " +
			"endpoint; * stands for the whole host or the whole port, *.DOMAIN for the names in it\nFILE:1: " +
			"plugins.a.allow.connect.1: found \"tcp://h\" (missing port in address), wanted tcp://HOST:PORT"},
		{name: "endpoint", file: ls("{endpoint: \"127.0.0.1:7\", plugin: a}"),
			want: `FILE:3: listeners.0.endpoint: found "127.0.0.1:7" (no scheme), wanted tcp://HOST:PORT, ` +
				`tls://HOST:PORT, unix://PATH, udp://HOST:PORT or unixgram://PATH`},
		{name: "endpoints that may be connected to", file: "plugins: {a: {module: x, allow: {connect: [\"plugin:b\", " +
			"\"upd://h:1\"]}}}\n", want: "FILE:1: plugins.a.allow.connect.0: found \"plugin:b\" (no scheme), wanted " +
			"tcp://HOST:PORT, tls://HOST:PORT, unix://PATH, udp://HOST:PORT or plugin://NAME\nFILE:1: " +
			"plugins.a.allow.connect.1: found \"upd://h:1\" (scheme \"upd\"), wanted tcp://HOST:PORT, " +
			"tls://HOST:PORT, unix://PATH, udp://HOST:PORT or plugin://NAME"},
		{name: "endpoint's port", file: ls("{endpoint: \"tcp://:70000\", plugin: a}"),
			want: `FILE:3: listeners.0.endpoint: found "tcp://:70000" (port "70000"), wanted a number from 0 to 65535`},
		{name: "no endpoint", file: ls("{plugin: a}"),
			want: `FILE:3: listeners.0.endpoint: found no endpoint, wanted one such as tcp://127.0.0.1:7007`},
		{name: "listener without plugin", file: ls("{endpoint: \"tcp://:1\"}"),
			want: `FILE:3: listeners.0.plugin: found no plugin, wanted the name of one under plugins (a)`},
		{name: "listener's plugin unknown",
			file: "plugins: {echo: {module: x}}\nlisteners:\n- endpoint: tcp://:1\n  plugin: ecko\n",
			want: `FILE:4: listeners.0.plugin: found "ecko", wanted the name of one under plugins (echo); did you ` +
				`mean "echo"?`},
		{name: "listeners alone", file: "listeners: [{endpoint: \"tcp://:1\", plugin: echo}]\n",
			want: `FILE:1: listeners.0.plugin: found "echo", wanted the name of one under plugins, where none is`},
		{name: "two on one endpoint", file: ls("{endpoint: \"tcp://127.0.0.1:1\", plugin: a}\n- {endpoint: " +
			"\"tcp://127.0.0.1:1\", plugin: a}"), want: `FILE:4: listeners.1.endpoint: found "tcp://127.0.0.1:1", ` +
			`which is listeners.0's too, wanted one endpoint for each`},
		{name: "one address in two forms",
			file: ls("{endpoint: \"tcp://127.0.0.1:1\", plugin: a}\n- {endpoint: \"tcp://[::ffff:127.0.0.1]:1\", " +
				"plugin: a}"), want: `FILE:4: listeners.1.endpoint: found "tcp://[::ffff:127.0.0.1]:1", which is ` +
				`listeners.0's too, wanted one endpoint for each`},
		{name: "all addresses twice", file: ls("{endpoint: \"tcp://:1\", plugin: a}\n- {endpoint: " +
			"\"tcp://0.0.0.0:1\", plugin: a}"), want: `FILE:4: listeners.1.endpoint: found "tcp://0.0.0.0:1", which ` +
			`is listeners.0's too, wanted one endpoint for each`},
		{name: "administration's endpoint", file: "admin: {listen: \"unix:///a\"}\n" +
			ls("{endpoint: \"unix:///b/../a\", plugin: a}"),
			want: `FILE:4: listeners.0.endpoint: found "unix:///b/../a", which is admin.listen's too, wanted one ` +
				`endpoint for each`},
		{name: "administration for all", file: "admin: {listen: \"tcp://0.0.0.0:1\"}\n",
			want: `FILE:1: admin.listen: found "tcp://0.0.0.0:1", which others can reach, wanted admin.tls ` +
				`with it, or a loopback address`},
		{name: "administration for all, and a token that all can read",
			file: "admin: {listen: \"tcp://[::]:1\", token_file: t}\n",
			want: `FILE:1: admin.listen: found "tcp://[::]:1", which others can reach, wanted admin.tls with it, or ` +
				`a loopback address`},
		{name: "administration for all, with TLS alone",
			file: "admin: {listen: \"tcp://wirehost.example:1\", tls: {cert: c, key: k}}\n",
			want: `FILE:1: admin.listen: found "tcp://wirehost.example:1", which others can reach, wanted ` +
				`admin.token_file or admin.tls.client_ca with it, or a loopback address`},
		{name: "administration's certificate without key", file: "admin: {listen: \"tcp://:1\", tls: {cert: c}}\n",
			want: "FILE:1: admin.tls.key: found no key, wanted the certificate's\nFILE:1: admin.listen: found " +
				"\"tcp://:1\", which others can reach, wanted admin.token_file or admin.tls.client_ca with it, or a " +
				"loopback address"},
		{name: "administration's client CA alone", file: "admin: {tls: {client_ca: c}}\n",
			want: `FILE:1: admin.tls.client_ca: found "DIR/c" without cert and key, wanted all three, or none`},
		{name: "administration without a path", file: "admin: {listen: \"unix://@x\"}\n",
			want: `FILE:1: admin.listen: found "unix://@x", which is no path, wanted off, unix://PATH or ` +
				`tcp://HOST:PORT`},
		{name: "tls without certificate", file: ls("{endpoint: \"tls://:1\", plugin: a}"),
			want: "FILE:3: listeners.0.tls.cert: found no certificate, wanted the path of a PEM file, since the " +
				"endpoint is tls://\nFILE:3: listeners.0.tls.key: found no key, wanted the path of a PEM file, since " +
				"the endpoint is tls://"},
		{name: "certificate without key", file: ls("{endpoint: \"tcp://:1\", plugin: a, tls: {cert: c}}"),
			want: `FILE:3: listeners.0.tls.key: found no key, wanted the certificate's`},
		{name: "key without certificate", file: ls("{endpoint: \"tcp://:1\", plugin: a, tls: {key: c}}"),
			want: `FILE:3: listeners.0.tls.cert: found no certificate, wanted one for the key that is given`},
		{name: "one of several certificates without key", file: ls("{endpoint: \"tls://:1\", plugin: a, tls: " +
			"{certificates: [{cert: c, key: k}, {cert: c}, {}]}}"),
			want: "FILE:3: listeners.0.tls.certificates.1.key: found no key, wanted the certificate's\n" +
				"FILE:3: listeners.0.tls.certificates.2: found neither cert nor key, wanted the paths of both"},
		{name: "version of TLS", file: ls("{endpoint: \"tcp://:1\", plugin: a, tls: {min_version: \"1.1\"}}"),
			want: `FILE:3: listeners.0.tls.min_version: found "1.1", wanted 1.2 or 1.3; did you mean "1.2"?`},
		{name: "client CA alone", file: ls("{endpoint: \"tcp://:1\", plugin: a, tls: {client_ca: c}}"),
			want: `FILE:3: listeners.0.tls.client_ca: found "DIR/c" without cert and key, wanted all three, or none`},
		{name: "mode that is no mode", file: ls("{endpoint: \"unix:///a\", plugin: a, mode: \"0888\"}"),
			want: `FILE:3: listeners.0.mode: found "0888", wanted octal digits such as "0660", at most "0777"`},
		{name: "file of no Unix socket",
			file: ls("{endpoint: \"tcp://:1\", plugin: a, mode: \"0600\", owner: o, group: g}"),
			want: "FILE:3: listeners.0.mode: found \"0600\", wanted none, since the endpoint is no Unix socket with " +
				"a file\nFILE:3: listeners.0.owner: found \"o\", wanted none, since the endpoint is no Unix socket " +
				"with a " +
				"file\nFILE:3: listeners.0.group: found \"g\", wanted none, since the endpoint is no Unix socket " +
				"with a file"},
		{name: "owner that is two", file: ls("{endpoint: \"unix:///a\", plugin: a, owner: \"a:b\"}"),
			want: `FILE:3: listeners.0.owner: found "a:b", wanted a name or a number`},
		{name: "port of a Unix socket", file: ls("{endpoint: \"unix:///a\", plugin: a, reuse_port: true}"),
			want: `FILE:3: listeners.0.reuse_port: found true, wanted false, since a Unix socket has no port`},
		{name: "peers of a Unix socket", file: ls("{endpoint: \"unix:///a\", plugin: a, per_peer: {connections: 1}}"),
			want: `FILE:3: listeners.0.per_peer: found a limit for each address, wanted none, since clients of a ` +
				`Unix socket have no address, or proxy_protocol`},
		{name: "datagrams where there are none", file: ls("{endpoint: \"tcp://:1\", plugin: a, broadcast: true, " +
			"receive_buffer: 1MiB, multicast: [239.1.2.3/32], per_peer: {datagrams_per_second: 9}}"),
			want: "FILE:3: listeners.0.per_peer.datagrams_per_second: found the number 9, wanted none, since the " +
				"endpoint is not udp://\nFILE:3: listeners.0.multicast: found groups, wanted none, since the " +
				"endpoint is not udp://\nFILE:3: listeners.0.broadcast: found true, wanted false, since the " +
				"endpoint is not udp://\nFILE:3: listeners.0.receive_buffer: found 1MiB, wanted none, since the " +
				"endpoint is neither udp:// nor unixgram://"},
		{name: "groups that are none", file: ls("{endpoint: \"tcp://:1\", plugin: a, multicast: [10.0.0.0/8, " +
			"239.1.2.3, 224.0.0.0/3, ff00::/7, 224.0.0.0/4, ff02::42/128]}"), want: "FILE:3: listeners.0.multicast." +
			"0: found \"10.0.0.0/8\", wanted multicast groups, such as 239.1.0.0/16 or ff02::42/128\n" +
			"FILE:3: listeners.0.multicast.1: found \"239.1.2.3\", wanted multicast groups, such as 239.1.0.0/16 " +
			"or ff02::42/128; did you mean \"239.1.2.3/32\"?\nFILE:3: listeners.0.multicast.2: found " +
			"\"224.0.0.0/3\", wanted multicast groups, such as 239.1.0.0/16 or ff02::42/128\nFILE:3: " +
			"listeners.0.multicast.3: found \"ff00::/7\", wanted multicast groups, such as 239.1.0.0/16 or " +
			"ff02::42/128\nFILE:3: listeners.0.multicast: found groups, wanted none, since the endpoint is not udp://"},
		{name: "least rate that none may have",
			file: ls("{endpoint: \"tcp://:1\", plugin: a, rate: {in: 1KiB, out: 2KiB, least: 1KiB}}"),
			want: `FILE:3: listeners.0.rate.least: found 1KiB, wanted less than in, which is 1KiB`},
		{name: "prefix of all", file: ls("{endpoint: \"tcp://:1\", plugin: a, per_peer: {ipv4_prefix: 0}}"),
			want: `FILE:3: listeners.0.per_peer.ipv4_prefix: found the number 0, wanted 1 to 32`},
		{name: "chain", file: ls("{endpoint: \"tcp://:1\", chain: [a, b, a]}"),
			want: "FILE:3: listeners.0.chain.1: found \"b\", wanted the name of one under plugins (a)\n" +
				"FILE:3: listeners.0.chain.2: found \"a\", which the chain has before, wanted each plugin once"},
		{name: "chain and plugin", file: ls("{endpoint: \"tcp://:1\", plugin: a, chain: [a, b]}"),
			want: "FILE:3: listeners.0.plugin: found \"a\" beside chain, wanted one of plugin and chain\n" +
				"FILE:3: listeners.0.chain.1: found \"b\", wanted the name of one under plugins (a)"},
		{name: "chain of one", file: ls("{endpoint: \"tcp://:1\", chain: [a]}"),
			want: "FILE:3: listeners.0.chain: found 1 of them, wanted 2 to 17 plugins, or plugin in place of chain"},
		{name: "chain that is none", file: ls("{endpoint: \"tcp://:1\", chain: a}"),
			want: "FILE:3: listeners.0.chain: found \"a\", wanted a list"},
		{name: "route's matcher that is none", file: ls("{endpoint: \"tcp://:1\", plugin: a, route: [{plugin: a, " +
			"prefx: x}, {plugin: a, regexp: \"(\"}]}"),
			want: "FILE:3: listeners.0.route.0.prefx: found an unknown key, wanted one of sni, alpn, prefix, regexp, " +
				"source, plugin; did you mean \"prefix\"?\n" +
				"FILE:3: listeners.0.route.1.regexp.0: found \"(\" (error parsing regexp: missing closing ): `(`), " +
				"wanted a regular expression of RE2"},
		{name: "chain for datagrams", file: "plugins: {a: {module: x}, b: {module: x}}\nlisteners:\n" +
			"  - {endpoint: \"udp://:1\", chain: [a, b]}\n",
			want: "FILE:3: listeners.0.chain: found a chain, wanted plugin, since datagrams are no connections"},
		{name: "route and chain", file: "plugins: {a: {module: x}, b: {module: x}}\nlisteners:\n" +
			"  - {endpoint: \"tcp://:1\", chain: [a, b], route: [{sni: x, plugin: a}]}\n",
			want: "FILE:3: listeners.0.route: found rules beside a chain, wanted one of both"},
		{name: "route for datagrams", file: ls("{endpoint: \"udp://:1\", plugin: a, route: " +
			"[{prefix: x, plugin: a}]}"),
			want: "FILE:3: listeners.0.route: found rules, wanted none, since datagrams have no connection"},
		{name: "route without matcher, or plugin", file: ls("{endpoint: \"tcp://:1\", route: [{plugin: a}, " +
			"{prefix: x}, {prefix: x, plugin: b}]}"),
			want: "FILE:3: listeners.0.route.0: found no matcher, wanted one of sni, alpn, prefix, regexp, source; " +
				"for all others there is listeners.0.plugin\n" +
				"FILE:3: listeners.0.route.1.plugin: found no plugin, wanted the name of one under plugins (a)\n" +
				"FILE:3: listeners.0.route.2.plugin: found \"b\", wanted the name of one under plugins (a)"},
		{name: "route's matchers", file: ls("{endpoint: \"tcp://:1\", plugin: a, route: [{plugin: a, sni: " +
			"\"a*.example\", alpn: \"\", prefix: \"hex:1\", regexp: \"(\", source: [10.0.0.0/8, here]}], " +
			"route_timeout: 0s}"),
			want: "FILE:3: listeners.0.route.0.alpn.0: found 0 bytes, wanted a protocol's name of 1 to 255 bytes\n" +
				"FILE:3: listeners.0.route.0.prefix.0: found \"hex:1\", wanted text, or hex: and two digits a byte\n" +
				"FILE:3: listeners.0.route.0.regexp.0: found \"(\" (error parsing regexp: missing closing ): `(`), " +
				"wanted a regular expression of RE2\n" +
				"FILE:3: listeners.0.route.0.sni.0: found \"a*.example\", wanted a name such as www.example.com, " +
				"*.example.com for those below it, or *\n" +
				"FILE:3: listeners.0.route.0.source.1: found \"here\", wanted an address, or a network such as " +
				"10.0.0.0/8 or fd00::/8\n" +
				"FILE:3: listeners.0.route_timeout: found 0s, wanted a duration above 0"},
		{name: "cidr", file: ls("{endpoint: \"tcp://:1\", plugin: a, proxy_from: [10.0.0.1, x]}"),
			want: "FILE:3: listeners.0.proxy_from.0: found \"10.0.0.1\", wanted a network such as 10.0.0.0/8 or " +
				"fd00::/8; did you mean \"10.0.0.1/32\"?\nFILE:3: listeners.0.proxy_from.1: found \"x\", wanted a " +
				"network such as 10.0.0.0/8 or fd00::/8"},
		{name: "proxy from nowhere", file: ls("{endpoint: \"tcp://:1\", plugin: a, proxy_protocol: true}"),
			want: `FILE:3: listeners.0.proxy_from: found no source to trust, wanted the proxies' networks, since ` +
				`proxy_protocol is on`},
		{name: "alpn", file: ls("{endpoint: \"tcp://:1\", plugin: a, tls: {alpn: [\"\"]}}"),
			want: `FILE:3: listeners.0.tls.alpn.0: found 0 bytes, wanted a protocol's name of 1 to 255 bytes`},
		{name: "key twice", file: "log: {level: info}\nlog: {format: json}\nadmin: {listen: off,\n  listen: off}\n",
			want: "FILE:2: log: found the key a second time (line 1 has it too), wanted it once\nFILE:4: " +
				"admin.listen: found the key a second time (line 3 has it too), wanted it once"},
		{name: "key twice in JSON", ext: ".json", file: "{\"log\": {},\n\"log\": {}}",
			want: "FILE:2: log: found the key a second time (line 1 has it too), wanted it once"},
		{name: "no YAML", file: "a:\n  b: [1\nc: 2\n",
			want: "FILE:2: found what is not YAML: did not find expected ',' or ']'"},
		{name: "two documents", file: "log: {}\n---\nlog: {}\n",
			want: "FILE:2: found a second YAML document, wanted one in a file"},
		{name: "no TOML", ext: ".toml", file: "[log]\nlevel = \n",
			want: "FILE:2: found what is not TOML: incomplete number"},
		{name: "unknown key in TOML", ext: ".toml",
			file: "[log]\n[[listeners]]\nendpoint='tcp://:1'\nplugin='a'\n[listeners.tls]\ncrt='x'\n" +
				"[plugins.a]\nmodule='x'\n",
			want: `FILE:6: listeners.0.tls.crt: found an unknown key, ` +
				`wanted one of cert, key, certificates, client_ca, alpn, min_version, handshake_timeout; did you ` +
				`mean "cert"?`},
		{name: "no JSON", ext: ".json", file: "{\n\"log\": {},\n}",
			want: "FILE:3: found what is not JSON: invalid character '}' looking for beginning of object key string"},
		{name: "JSON too short", ext: ".json", file: "{\n\"log\": {",
			want: "FILE:2: found what is not JSON: it ends too early"},
		{name: "JSON too long", ext: ".json", file: "{}\n{}",
			want: "FILE:2: found what is not JSON: more after the end"},
		{name: "JSON's text after it", ext: ".json", file: "{\"log\": {},\n\"admin\": {}\n}\n\nx",
			want: "FILE:5: found what is not JSON: invalid character 'x' looking for beginning of value"},
		{name: "byte order mark in JSON", ext: ".json", file: "\ufeff{\"log\": {\"levle\": \"info\"}}",
			want: `FILE:1: log.levle: found an unknown key, wanted one of level, format; did you mean "level"?`},
		{name: "byte order mark in TOML", ext: ".toml", file: "\ufefflog.levle = 'info'\n",
			want: `FILE:1: log.levle: found an unknown key, wanted one of level, format; did you mean "level"?`},
		{name: "JSON that is not UTF-8", ext: ".json", file: "{\"log\":\n\"\xff\"}",
			want: "FILE:2: found what is not JSON: bytes that are not UTF-8"},
		{name: "YAML that is not UTF-8", file: "log:\n  level: \xff\n",
			want: "FILE:2: found what is not YAML: invalid leading UTF-8 octet"},
		{name: "YAML's control characters", file: "log:\n\n  level: \x01\n",
			want: "FILE:3: found what is not YAML: control characters are not allowed"},
		{name: "key twice in TOML", ext: ".toml", file: "[log]\nlevel = 'info'\n\nlevel = 'warn'\n[admin]\n",
			want: "FILE:4: found what is not TOML: key level is already defined"},
		{name: "table twice in TOML", ext: ".toml", file: "[log]\n[admin]\n\n[log]",
			want: "FILE:4: found what is not TOML: table log already exists"},
		{name: "nested deeply in TOML", ext: ".toml", file: "plugins.a.module='x'\nplugins.a.config.x = " +
			strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "\n",
			want: "FILE:2: plugins.a.config: found too many values, or too many levels of nesting, wanted fewer"},
		{name: "a long dotted key in TOML", ext: ".toml", file: "plugins.a.module='x'\nplugins.a.config." +
			strings.Repeat("x.", 20_000) + "y = 1\n",
			want: "FILE:2: plugins.a.config: found too many values, or too many levels of nesting, wanted fewer"},
		{name: "number out of range, once", ext: ".json", file: "{\"reactor\": {\"loops\": 1e400}}",
			want: `FILE:1: reactor.loops: found the number "1e400", wanted one that fits in 64 bits`},
		{name: "not a number, once", file: "reactor: {loops: .inf}\n",
			want: `FILE:1: reactor.loops: found .inf, wanted a number that JSON can say`},
		{name: "nothing at all", file: " \n",
			want: "FILE: found an empty file, wanted settings, or a comment to say that none is meant"},
		{name: "nothing at all in TOML", ext: ".toml", file: "",
			want: "FILE: found an empty file, wanted settings, or a comment to say that none is meant"},
		{name: "protocols without certificate", file: ls("{endpoint: \"tcp://:1\", plugin: a, tls: {alpn: [h2]}}"),
			want: `FILE:3: listeners.0.tls.alpn: found protocols without cert and key, wanted all three, or none`},
		{name: "extension", ext: ".ini", file: "",
			want: `FILE: found the extension ".ini", wanted .yaml, .yml, .toml or .json`},
		{name: "not a number", file: "plugins: {a: {module: x, config: {b: .nan}}}\n",
			want: `FILE:1: plugins.a.config.b: found .nan, wanted a number that JSON can say`},
		{name: "list as key", file: "plugins: {a: {module: x, config: {[1]: 2}}}\n",
			want: `FILE:1: plugins.a.config: found a key that is no text, wanted text`},
		{name: "alias of itself", file: "plugins: {a: {module: x, config: &c {d: *c}}}\n",
			want: `FILE:1: plugins.a.config.d.d: found the alias "c" inside what it stands for`},
		{name: "monitor", file: "monitor: {listen: tls://:1}\naccess_log: {to: file://}\n",
			want: "FILE:1: monitor.listen: found \"tls://:1\", wanted unix://PATH or tcp://HOST:PORT\n" +
				"FILE:2: access_log.to: found \"file://\", wanted stderr or file://PATH"},
		{name: "monitor and administration on one address", set: []string{"admin.listen=tcp://127.0.0.1:1",
			"monitor.listen=tcp://127.0.0.1:1"},
			want: `--set: monitor.listen: found "tcp://127.0.0.1:1", which is admin.listen's too, wanted one ` +
				`endpoint for each`},
		{name: "otlp", file: "otlp:\n  endpoint: http://u:p@h\n  sample: 101%\n",
			want: "FILE:2: otlp.endpoint: found \"http://u:xxxxx@h\", wanted http://HOST:PORT or https://HOST:PORT, " +
				"a path behind it where there is one\nFILE:3: otlp.sample: found \"101%\", wanted 0% to 100%"},
		{name: "module of a web server without TLS", file: "plugins: {a: {module: \"http://h/a.wasm\"}}\n",
			want: "FILE:1: plugins.a.module: found \"http://h/a.wasm\", wanted builtin:NAME, the path of a .wasm " +
				"file, https://… or oci://HOST/NAME:TAG"},
		{name: "variable", env: []string{"WIREHOST_LOG__LEVL=info"},
			want: `WIREHOST_LOG__LEVL: log.levl: found an unknown key, wanted one of level, format; did you mean ` +
				`"level"?`},
		{name: "variable with one _", env: []string{"WIREHOST_LOG_LEVEL=info"},
			want: `WIREHOST_LOG_LEVEL: log_level: found an unknown key, wanted one of SECTIONS; did you mean ` +
				`"WIREHOST_LOG__LEVEL"?`},
		{name: "variable's value", env: []string{"WIREHOST_REACTOR__LOOPS=many"},
			want: `WIREHOST_REACTOR__LOOPS: reactor.loops: found "many", wanted a whole number`},
		{name: "variable's YAML", env: []string{"WIREHOST_LOG=[1"},
			want: `WIREHOST_LOG: log: found "[1" (did not find expected ',' or ']'), wanted a YAML value`},
		{name: "variable's lines", env: []string{"WIREHOST_LOG=level: info\nfromat: json\n"},
			want: `WIREHOST_LOG:2: log.fromat: found an unknown key, wanted one of level, format; did you mean ` +
				`"format"?`},
		{name: "index too large", set: []string{"listeners.5.endpoint=tcp://:1"},
			want: `--set: listeners.5: found the index 5, wanted at most 2, which adds an item`},
		{name: "index too large for a guest's list", file: "plugins: {a: {module: x, config: {l: [1]}}}\n",
			set:  []string{"plugins.a.config.l.2=1"},
			want: `--set: plugins.a.config.l.2: found the index 2, wanted at most 1, which adds an item`},
		{name: "index that is none", set: []string{"listeners.x.endpoint=tcp://:1"},
			want: `--set: listeners.x: found "x", wanted the index of an item of the list`},
		{name: "a variable's list in place of a file's", file: ls("{endpoint: \"tcp://:1\",\n  plugin: a}"),
			env:  []string{"WIREHOST_LISTENERS=[{endpoint: \"tcp://:1\"}]"},
			want: `WIREHOST_LISTENERS: listeners.0.plugin: found no plugin, wanted the name of one under plugins (a)`},
		{name: "a variable's item behind a file's", file: ls("{endpoint: \"tcp://:1\", plugin: a}"),
			env: []string{"WIREHOST_LISTENERS__1__ENDPOINT=tcp://:2"},
			want: `WIREHOST_LISTENERS__1__ENDPOINT: listeners.1.plugin: found no plugin, wanted the name of one ` +
				`under plugins (a)`},
		{name: "flag without value", set: []string{"log.level"},
			want: `--set: found "log.level", wanted KEY=VALUE, such as log.level=debug`},
		{name: "flag with an empty part", set: []string{"log..level=info"},
			want: `--set: found the key "log..level", wanted one such as log.level`},
		{name: "newline in a value", set: []string{"log.level=a\nb"},
			want: `--set: log.level: found "a\nb", wanted trace, debug, info, warn or error`},
		{name: "newline in a key", file: "\"a\\nb\": 1\n",
			want: `FILE:1: "a\nb": found an unknown key, wanted one of SECTIONS, include`},
		{name: "all at once, in order", file: "log: {level: x}\nreactor: {loops: y}\nplugins: {a: {}}\nlisteners: " +
			"[{endpoint: z, plugin: b}]\n", env: []string{"WIREHOST_LOG__FORMAT=xml"},
			want: "FILE:1: log.level: found \"x\", wanted trace, debug, info, warn or error\n" +
				"FILE:2: reactor.loops: found \"y\", wanted a whole number\n" +
				"FILE:3: plugins.a.module: found no module, wanted MODULE-WANTED\n" +
				"FILE:4: listeners.0.endpoint: found \"z\" (no scheme), wanted tcp://HOST:PORT, tls://HOST:PORT, " +
				"unix://PATH, udp://HOST:PORT or unixgram://PATH\n" +
				"FILE:4: listeners.0.plugin: found \"b\", wanted the name of one under plugins (a)\n" +
				"WIREHOST_LOG__FORMAT: log.format: found \"xml\", wanted text or json"},
		{name: "what follows from a fault is not said",
			file: "plugns: {a: {module: x}}\nlisteners: [{endpont: z, plugin: a}]\n",
			want: "FILE:1: plugns: found an unknown key, wanted one of SECTIONS, include; " +
				"did you mean \"plugins\"?\n" +
				"FILE:2: listeners.0.endpont: found an unknown key, wanted one of LISTENER-KEYS; did you mean " +
				"\"endpoint\"?"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{Env: tc.env, Set: tc.set}
			file, dir := "", ""
			if tc.file != "" || tc.ext != "" {
				if tc.ext == "" {
					tc.ext = ".yaml"
				}
				file = write(t, "c"+tc.ext, tc.file)
				o.File, dir = file, strings.TrimSuffix(file, "/c"+tc.ext)
			}
			_, err := Load(o)
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("found %v, wanted faults", err)
			}
			want := strings.NewReplacer("FILE", file, "DIR", dir, "SECTIONS", keysText[Config](),
				"MODULE-WANTED", moduleWanted, "LISTENER-KEYS", keysText[Listener]()).Replace(tc.want)
			if got := err.Error(); got != want {
				t.Errorf("found\n%s\nwanted\n%s", got, want)
			}
			if n := strings.Count(err.Error(), "\n") + 1; n != len(faults) {
				t.Errorf("%d faults on %d lines", len(faults), n)
			}
		})
	}
}

// keysText are the keys of a section, as messages list them.
func keysText[T any]() string { return strings.Join(keysOf(reflect.TypeFor[T]()), ", ") }
