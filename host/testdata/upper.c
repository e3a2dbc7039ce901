// A guest in C, written from abi/ABI.md alone: it answers in upper case, and a
// line "quit" ends the connection. Built with
//   clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o upper.wasm upper.c

typedef int i32;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("transport", "write") i32 transport_write(i32 conn, const void *p, u32 len);
IMPORT("transport", "loseConnection") i32 transport_loseConnection(i32 conn);

static unsigned char buffer[65536];

EXPORT("abi_version_1") void abi_version_1(void) {}

EXPORT("receiveBuffer") u64 receiveBuffer(void) {
	return (u64)(u32)buffer << 32 | sizeof buffer;
}

EXPORT("connectionMade") void connectionMade(i32 conn) {
	transport_write(conn, "ready\n", 6);
}

EXPORT("dataReceived") void dataReceived(i32 conn, unsigned char *p, u32 len) {
	for (u32 i = 0; i < len; i++)
		if (p[i] >= 'a' && p[i] <= 'z')
			p[i] -= 'a' - 'A';
	transport_write(conn, p, len);
	if (len == 5 && p[0] == 'Q' && p[1] == 'U' && p[2] == 'I' && p[3] == 'T')
		transport_loseConnection(conn);
}

EXPORT("connectionLost") void connectionLost(i32 conn, i32 reason) {}
