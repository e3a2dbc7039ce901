//! echo: it writes back every byte.
const wirehost = @import("wirehost");

const Echo = struct {
    pub fn dataReceived(_: *Echo, t: wirehost.Transport, data: []const u8) !void {
        try t.write(data);
    }

    // It has no state of its own, so a reload moves it as it is.
    pub fn saveState(_: *Echo, _: *wirehost.Bytes) void {}
    pub fn restoreState(_: *Echo, _: wirehost.Transport, _: i32, _: []const u8) void {}
};

comptime {
    wirehost.plugin(struct {
        pub const Protocol = Echo;
        pub const log_prefix = "echo";
    });
}
