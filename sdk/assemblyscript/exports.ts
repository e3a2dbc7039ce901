// What the server calls (abi/ABI.md). A project's entry file has
//
//	export * from "./exports";
import {
  Level, MAX_RECEIVE, Protocol, Reason, State, Transport,
  aim, attach, build, detach, due, factory, find, log, rest, setSaving, sockets,
} from "./wirehost";

const received = new ArrayBuffer(MAX_RECEIVE); // the registered buffer
const view = new Uint8Array(0); // what dataReceived gets
let prefix: ArrayBuffer | null = null;
let saved: Uint8Array | null = null; // read by the server after saveState
let room: ArrayBuffer | null = null; // what restoreBuffer gave

function pack(ptr: usize, len: i32): u64 {
  return len == 0 ? 0 : (<u64>ptr << 32) | len;
}

/** The server names no connection that is not ours. */
function expect(conn: i32): Transport {
  return find(conn)!;
}

export function abi_version_1(): void {}

export function receiveBuffer(): u64 {
  return pack(changetype<usize>(received), MAX_RECEIVE);
}

export function logPrefix(): u64 {
  const b = String.UTF8.encode(factory().logPrefix);
  prefix = b;
  return pack(changetype<usize>(b), b.byteLength);
}

// Without Math.random in the guest nothing is left of its seed.
export function instanceMade(ptr: usize, len: i32): void {
  NativeMath.seedRandom(load<i64>(ptr));
  factory().instanceMade(aim(view, received, 0, len));
}

export function startFactory(): i32 {
  const started = factory().startFactory();
  rest();
  return started ? 0 : 1;
}

export function stopFactory(): void {
  factory().stopFactory();
  rest();
}

export function buildProtocol(conn: i32): i32 {
  const t = new Transport(conn);
  const p = build(t);
  if (p) attach(t, p);
  rest();
  return p ? 0 : 1;
}

export function connectionMade(conn: i32): void {
  const t = expect(conn);
  t.pending = false;
  t.protocol.connectionMade();
  const watcher = t.watcher;
  if (watcher) watcher.made(t);
  rest();
}

export function dataReceived(conn: i32, ptr: usize, len: i32): void {
  const offset = <i32>(ptr - changetype<usize>(received));
  expect(conn).protocol.dataReceived(aim(view, received, offset, len));
  rest();
}

export function connectionLost(conn: i32, reason: i32): void {
  const t = expect(conn);
  t.lost = true;
  t.protocol.connectionLost(<Reason>reason);
  detach(t);
  const watcher = t.watcher;
  if (watcher) watcher.over(t, false, <Reason>reason);
  rest();
}

export function clientConnectionFailed(conn: i32, reason: i32): void {
  const t = expect(conn);
  t.lost = true;
  t.protocol.clientConnectionFailed(<Reason>reason);
  detach(t);
  const watcher = t.watcher;
  if (watcher) watcher.over(t, true, <Reason>reason);
  rest();
}

export function readConnectionLost(conn: i32): void {
  expect(conn).protocol.readConnectionLost();
  rest();
}

export function writeConnectionLost(conn: i32): void {
  expect(conn).protocol.writeConnectionLost();
  rest();
}

export function handshakeCompleted(conn: i32): void {
  const t = expect(conn);
  t.shaking = false;
  t.protocol.handshakeCompleted();
  rest();
}

// A call that crossed with unregisterProducer is no news.

export function pauseProducing(conn: i32): void {
  const t = expect(conn);
  if (t.producer) t.protocol.pauseProducing();
  rest();
}

export function resumeProducing(conn: i32): void {
  const t = expect(conn);
  if (t.producer) t.protocol.resumeProducing();
  rest();
}

export function stopProducing(conn: i32): void {
  const t = expect(conn);
  const wanted = t.producer;
  t.producer = false;
  if (wanted) t.protocol.stopProducing();
  rest();
}

export function delayedCall(timer: i32): void {
  due(timer);
  rest();
}

export function stateVersion(): i32 {
  return factory().stateVersion;
}

export function saveState(conn: i32): u64 {
  setSaving(true);
  const t = find(conn); // null for the factory, and for a listener, which has no state
  const state = conn == 0 ? factory().saveState() : t ? t.protocol.saveState() : null;
  setSaving(false);
  saved = state;
  return state ? pack(state.dataStart, state.byteLength) : u64.MAX_VALUE;
}

export function restoreBuffer(len: i32): usize {
  if (len < 0 || len > 1 << 29) return 0;
  const b = new ArrayBuffer(len);
  room = b;
  return changetype<usize>(b);
}

export function restoreState(conn: i32, version: i32, ptr: usize, len: i32): i32 {
  const state = new Uint8Array(len);
  memory.copy(state.dataStart, ptr, len);
  room = null;
  const restored = conn == 0 ? factory().restoreState(version, state) : restore(conn, version, state);
  rest();
  if (!restored) log(Level.Error, "restoreState: no protocol, or refused");
  return restored ? 0 : 1;
}

function restore(conn: i32, version: i32, state: Uint8Array): bool {
  const t = new Transport(conn);
  const bits = t.state(); // fails for one that is still connecting
  let p: Protocol | null;
  const s = sockets;
  if (s && s.make(t)) {
    p = s.made;
  } else if (bits < 0 || (bits & State.OUTGOING) != 0) {
    p = factory().buildClientProtocol(t);
  } else {
    p = build(t);
  }
  if (!p) return false;
  attach(t, p);
  t.pending = bits < 0;
  if (bits > 0) {
    t.closing = (bits & State.CLOSING) != 0;
    t.half = (bits & State.WRITE_CLOSED) != 0;
    t.producer = (bits & State.PRODUCER) != 0;
  }
  if (p.restoreState(version, state)) return true;
  detach(t);
  return false;
}
