//! everything calls all that the SDK has, so that a test holds it against the ABI. It is
//! not meant to run.
const wirehost = @import("wirehost");

pub const panic = wirehost.panic;

const Datagrams = struct {
    pub fn datagramReceived(_: *Datagrams, s: wirehost.Socket, data: []const u8, from: wirehost.Address) !void {
        try s.write(data, from);
        try s.flush();
        try s.join("239.1.2.3");
        try s.leaveGroup("239.1.2.3");
        try s.setOption(.multicast_hops, @intCast(s.dropped()));
    }
};

const Nobody = struct {
    pub fn buildProtocol(_: *const Nobody, _: wirehost.Transport) ?Everything {
        return null;
    }
};

const nobody: Nobody = .{};

const Everything = struct {
    pub fn dataReceived(e: *Everything, t: wirehost.Transport, _: []const u8) !void {
        var buf: [128]u8 = undefined;
        try t.write("x");
        _ = try t.flush();
        try t.loseWriteConnection();
        try t.pauseProducing();
        try t.resumeProducing();
        try t.registerProducer(true);
        try t.unregisterProducer();
        _ = try t.state();
        try t.setTimeout(1);
        _ = try t.peer(&buf);
        _ = try t.getHost(&buf);
        _ = try t.reasonText(&buf);
        _ = try t.peerCertificate(&buf);
        _ = try t.negotiatedProtocol(&buf);
        try t.setTcpNoDelay(true);
        try t.setTcpKeepAlive(true);
        try t.startTLS();
        try t.startTLSClient("localhost");
        const port = try wirehost.listen("tcp://127.0.0.1:0", &nobody);
        _ = try port.getHost(&buf);
        if (try t.listener() == null) try port.stopListening();
        try t.handOver("other", "first");
        const timer = try t.callLater(1);
        try timer.reset(2);
        const free = try wirehost.callLater(1, e, called);
        try free.cancel();
        try wirehost.random(buf[0..if (wirehost.time() > 1) 9 else 0]);
        if (wirehost.seconds() > 1) _ = try wirehost.connect("tcp://127.0.0.1:1", 1, Everything{});
        _ = try wirehost.openDatagram("udp://127.0.0.1:1", Datagrams{});
        if (wirehost.seconds() > 1) _ = try wirehost.connectAs(t, "plugin://next", 1, Everything{});
        _ = try wirehost.config(struct { n: i32 = 0 });
        const metric = try wirehost.Metric.init(.counter, "everything_total");
        try metric.record(1);
        var room: [wirehost.Asset.max_name]u8 = undefined;
        if (wirehost.Asset.find("a")) |file| try t.write(file.read(file.size(), &room));
        try wirehost.logf(.info, "{d}", .{buf.len});
        try t.abortConnection();
    }

    fn called(_: *Everything) void {}
};

comptime {
    wirehost.plugin(struct {
        pub const Protocol = Everything;
        pub const DatagramProtocol = Datagrams;
        pub fn instanceMade(_: *@This(), seed: [32]u8) void {
            wirehost.log(.info, &seed) catch {};
        }
    });
}
