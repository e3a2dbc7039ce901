// echo on the bare ABI (abi/ABI.md), without the SDK: all that a guest must have.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("transport"), import_name("write"))) int transport_write(int conn, const u8 *p, u32 n);

static u8 receive[65536];

EXPORT("abi_version_1") void abi_version_1(void) {}
EXPORT("receiveBuffer") u64 receive_buffer(void) { return (u64)(u32)receive << 32 | sizeof receive; }
EXPORT("connectionMade") void connection_made(int conn) {}
EXPORT("dataReceived") void data_received(int conn, const u8 *p, u32 n) { transport_write(conn, p, n); }
EXPORT("connectionLost") void connection_lost(int conn, int reason) {}
