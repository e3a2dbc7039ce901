//! echo on the bare ABI (abi/ABI.md), without the SDK: all that a guest must have.
extern "transport" fn write(conn: i32, ptr: [*]const u8, len: usize) i32;

var receive: [65536]u8 = undefined;

export fn abi_version_1() void {}

export fn receiveBuffer() u64 {
    return @as(u64, @intFromPtr(&receive)) << 32 | receive.len;
}

export fn connectionMade(_: i32) void {}

export fn dataReceived(conn: i32, ptr: [*]const u8, len: usize) void {
    _ = write(conn, ptr, len);
}

export fn connectionLost(_: i32, _: i32) void {}
