// The SDK for protocols in AssemblyScript that run inside the wirehost server. Copy
// this file and exports.ts into a project; they need nothing else. It speaks in the
// words of Twisted: a Factory builds a Protocol for each connection, which answers
// through its transport.
//
//	import { Factory, Protocol, Transport, register } from "./wirehost";
//	export * from "./exports"; // what the server calls: only the entry file's exports count
//
//	class Echo extends Protocol {
//	  dataReceived(data: Uint8Array): void { this.transport.write(data); }
//	}
//	class EchoFactory extends Factory {
//	  buildProtocol(t: Transport): Protocol | null { return new Echo(); }
//	}
//	register(new EchoFactory());
//
// Callbacks run one after another on one thread, never one inside another. They must
// not block. Bytes that they get are valid until they return: slice() what is to be
// kept. Small writes of a callback are gathered and sent with one call to the server
// when it returns.
//
// A function that can fail returns a negative Status; 0 or a count otherwise.

export namespace Status {
  export const OK = 0;
  export const NO_CONNECTION = -1; // no such connection, or it has ended
  export const INVALID = -2; // bad argument
  export const TOO_BIG = -3; // over a limit
  export const NOT_ALLOWED = -4; // the configuration does not allow it
  export const BUSY = -5; // already so
  export const NO_TIMER = -6; // no such timer, or it has ended
  export const NOT_SUPPORTED = -7; // not on this transport
  export const NOT_NOW = -8; // not in this callback
}

/** Why a connection ended or could not be made. */
export enum Reason {
  Done, // clean close by either side
  Lost, // I/O error
  Aborted, // by us
  Timeout, // idle, connect, handshake or flush took too long
  TLSFailure, // handshake or record error
  ShuttingDown, // the server shuts down
  Replaced, // by a reload
  OverLimit, // over a limit
  Trapped, // the guest trapped
  Refused, // connect: refused or unreachable
  NoSuchHost, // connect: the name does not resolve
  NotAllowed, // connect: the address is not allowed
}

/** Bits of Transport.state. */
export namespace State {
  export const PAUSED = 1; // reading is paused by us
  export const PEER_CLOSED = 2; // the peer has closed its writing side
  export const WRITE_CLOSED = 4; // our writing side is closed, or will be
  export const CLOSING = 8; // loseConnection was called
  export const PRODUCER = 16; // a producer is registered
  export const TLS = 32; // TLS is on
  export const OUTGOING = 64; // made by connect
}

export enum Level { Trace, Debug, Info, Warn, Error }

// Imports: abi/ABI.md --------------------------------------------------------------

namespace host {
  @external("transport", "write")
  export declare function write(conn: i32, ptr: usize, len: usize): i32;
  @external("transport", "writeSequence")
  export declare function writeSequence(conn: i32, iov: usize, n: usize): i32;
  @external("transport", "loseConnection")
  export declare function loseConnection(conn: i32): i32;
  @external("transport", "loseWriteConnection")
  export declare function loseWriteConnection(conn: i32): i32;
  @external("transport", "abortConnection")
  export declare function abortConnection(conn: i32): i32;
  @external("transport", "pauseProducing")
  export declare function pauseProducing(conn: i32): i32;
  @external("transport", "resumeProducing")
  export declare function resumeProducing(conn: i32): i32;
  @external("transport", "registerProducer")
  export declare function registerProducer(conn: i32, streaming: i32): i32;
  @external("transport", "unregisterProducer")
  export declare function unregisterProducer(conn: i32): i32;
  @external("transport", "state")
  export declare function state(conn: i32): i32;
  @external("transport", "setTimeout")
  export declare function setTimeout(conn: i32, ms: i32): i32;
  @external("transport", "getPeer")
  export declare function getPeer(conn: i32, buf: usize, cap: usize): i32;
  @external("transport", "getHost")
  export declare function getHost(conn: i32, buf: usize, cap: usize): i32;
  @external("transport", "reason")
  export declare function reason(conn: i32, buf: usize, cap: usize): i32;
  @external("transport", "setTcpNoDelay")
  export declare function setTcpNoDelay(conn: i32, on: i32): i32;
  @external("transport", "setTcpKeepAlive")
  export declare function setTcpKeepAlive(conn: i32, on: i32): i32;
  @external("transport", "startTLS")
  export declare function startTLS(conn: i32): i32;
  @external("transport", "getPeerCertificate")
  export declare function getPeerCertificate(conn: i32, buf: usize, cap: usize): i32;
  @external("transport", "negotiatedProtocol")
  export declare function negotiatedProtocol(conn: i32, buf: usize, cap: usize): i32;
  @external("reactor", "callLater")
  export declare function callLater(ms: i32): i32;
  @external("reactor", "cancel")
  export declare function cancel(timer: i32): i32;
  @external("reactor", "reset")
  export declare function reset(timer: i32, ms: i32): i32;
  @external("reactor", "seconds")
  export declare function seconds(): f64;
  @external("reactor", "connect")
  export declare function connect(endpoint: usize, len: usize, ms: i32): i32;
  @external("factory", "config")
  export declare function config(buf: usize, cap: usize): i32;
  @external("log", "emit")
  export declare function emit(level: i32, ptr: usize, len: usize): i32;
}

// Protocol, Factory, Transport -------------------------------------------------------

/** One connection's protocol: extend it, or a framer, with the callbacks it needs. */
export abstract class Protocol {
  private _transport: Transport | null = null;

  /** Set before connectionMade or restoreState. */
  get transport(): Transport {
    return this._transport!;
  }

  set transport(t: Transport) {
    this._transport = t;
  }

  /** First, before any byte is read. */
  connectionMade(): void {}

  /** 1 byte to 64 KiB of the stream, cut anywhere. None comes once the connection is closing. */
  dataReceived(data: Uint8Array): void {}

  /** Once, last. Getters still answer; writes are dropped. */
  connectionLost(why: Reason): void {}

  /** After connect, in place of connectionMade; nothing else comes. */
  clientConnectionFailed(why: Reason): void {}

  /** The peer closed its writing side. This one flushes and closes. */
  readConnectionLost(): void {
    this.transport.loseConnection();
  }

  /** Our writing side is closed. */
  writeConnectionLost(): void {}

  /** TLS is up; connectionMade came before. */
  handshakeCompleted(): void {}

  /** After registerProducer: the output is above high water. */
  pauseProducing(): void {}

  /** The output is below low water; of a pull producer: it has emptied. */
  resumeProducing(): void {}

  /** The connection is gone. */
  stopProducing(): void {}

  /** A call of transport.callLater is due. */
  delayedCall(timer: i32): void {}

  /** The state that a reload moves to the new version; null declines. It changes nothing. */
  saveState(): Uint8Array | null {
    return null;
  }

  /** In the new version, in place of connectionMade; false refuses. */
  restoreState(version: i32, state: Uint8Array): bool {
    return false;
  }

  /** Goes on with what a framer holds. The SDK calls it. */
  goOn(): void {}
}

/** Builds the protocols. */
export abstract class Factory {
  /** A name for log lines. */
  logPrefix: string = "";
  /** The number of the layout that saveState writes. */
  stateVersion: i32 = 1;

  /** Of an accepted connection; only getters of t work. null refuses it. Called in a
   *  reload too, before restoreState. */
  abstract buildProtocol(t: Transport): Protocol | null;

  /** Of an outgoing connection that a reload moves. */
  buildClientProtocol(t: Transport): Protocol | null {
    return null;
  }

  /** Before the first connection; false refuses to start. */
  startFactory(): bool {
    return true;
  }

  /** After the last connection. */
  stopFactory(): void {}

  /** The factory's own state. */
  saveState(): Uint8Array | null {
    return null;
  }

  restoreState(version: i32, state: Uint8Array): bool {
    return false;
  }
}

/** A call to come: extend it with call, for callLater. */
export abstract class DelayedCall {
  abstract call(): void;
}

/** A connection. Once it has ended, every function returns Status.NO_CONNECTION. */
export class Transport {
  /** Set by the SDK. */
  protocol: Protocol | null = null;
  next: Transport | null = null; // in the table's slot
  timers: i32[] | null = null; // of callLater
  error: i32 = 0; // of the last sending at the end of a callback
  pending: bool = false; // outgoing, and not made yet
  closing: bool = false; // loseConnection or abortConnection was called
  half: bool = false; // loseWriteConnection was called
  aborted: bool = false;
  lost: bool = false;
  producer: bool = false;
  ended: bool = false;
  paused: bool = false; // a framer delivers nothing

  constructor(
    /** The number that the server knows the connection by. */
    readonly handle: i32,
  ) {}

  /** Whether the connection is ending: nothing more is delivered then. */
  get disconnecting(): bool {
    return this.closing || this.lost;
  }

  /** Closing waits for a producer, so what is written while there is one counts. */
  private get drops(): bool {
    return this.lost || this.aborted || ((this.closing || this.half) && !this.producer);
  }

  private takeError(): i32 {
    if (this.ended || (this.pending && !this.lost)) return Status.NO_CONNECTION;
    if (saving) return Status.NOT_NOW;
    const error = this.error;
    this.error = 0;
    return error;
  }

  /** Queues bytes, in order; never blocks. A status is that of this write or of an
   *  earlier callback's: TOO_BIG means that the connection held more than the server's
   *  hard limit and is being aborted. Who has much to send looks at flush, or registers
   *  a producer. After loseConnection they are dropped. */
  write(data: Uint8Array): i32 {
    return this.writeRange(data.dataStart, data.byteLength);
  }

  /** write of a text, as UTF-8. */
  writeText(text: string): i32 {
    const b = String.UTF8.encode(text);
    return this.writeRange(changetype<usize>(b), b.byteLength);
  }

  /** write of a range of memory. */
  writeRange(ptr: usize, len: i32): i32 {
    const error = this.takeError();
    if (error < 0 || len == 0 || this.drops) return error;
    if (outConn != this) leave();
    if (len >= LARGE || outLen + len > GATHER) return min(0, send(this, ptr, len));
    outConn = this;
    memory.copy(out + outLen, ptr, len);
    outLen += len;
    return 0;
  }

  /** Sends what was gathered: how many bytes the connection has queued. */
  flush(): i32 {
    const error = this.takeError();
    if (error < 0 || this.drops) return error;
    if (outConn != this) leave();
    return send(this, 0, 0);
  }

  private flushed(): void {
    if (outConn == this) leave();
  }

  /** Stops reading, flushes, waits for a producer, closes. */
  loseConnection(): i32 {
    this.flushed();
    const status = host.loseConnection(this.handle);
    if (status == 0) this.closing = true;
    return status;
  }

  /** Flushes, waits for a producer, closes our writing side. */
  loseWriteConnection(): i32 {
    this.flushed();
    const status = host.loseWriteConnection(this.handle);
    if (status == 0) this.half = true;
    return status;
  }

  /** Drops the output and resets. */
  abortConnection(): i32 {
    if (outConn == this) outLen = 0;
    const status = host.abortConnection(this.handle);
    if (status == 0) this.closing = this.aborted = true;
    return status;
  }

  /** Stops reading; a framer stops in the middle of what it holds. */
  pauseProducing(): i32 {
    this.paused = true;
    return host.pauseProducing(this.handle);
  }

  /** Starts reading again, with what a framer holds first. */
  resumeProducing(): i32 {
    this.paused = false;
    const status = host.resumeProducing(this.handle);
    const p = this.protocol;
    if (p && !this.ended) p.goOn();
    return status;
  }

  /** The protocol makes output when it is asked to: streaming is true for a push
   *  producer. A second one is BUSY. */
  registerProducer(streaming: bool): i32 {
    this.flushed();
    const status = host.registerProducer(this.handle, i32(streaming));
    if (status == 0) this.producer = true;
    return status;
  }

  unregisterProducer(): i32 {
    this.flushed();
    this.producer = false;
    return host.unregisterProducer(this.handle);
  }

  /** Bits of State. */
  state(): i32 {
    return host.state(this.handle);
  }

  /** Closes after ms without a byte; 0 clears. */
  setTimeout(ms: i32): i32 {
    return host.setTimeout(this.handle, ms);
  }

  setTcpNoDelay(on: bool): i32 {
    return host.setTcpNoDelay(this.handle, i32(on));
  }

  setTcpKeepAlive(on: bool): i32 {
    return host.setTcpKeepAlive(this.handle, i32(on));
  }

  /** Begins TLS as its server, behind what was written in plain text. */
  startTLS(): i32 {
    this.flushed();
    return host.startTLS(this.handle);
  }

  /** The remote endpoint, such as tcp://127.0.0.1:5000; "" where there is none. */
  get peer(): string {
    const buf = new ArrayBuffer(512);
    return text(buf, host.getPeer(this.handle, changetype<usize>(buf), 512));
  }

  /** Our endpoint. */
  get host(): string {
    const buf = new ArrayBuffer(512);
    return text(buf, host.getHost(this.handle, changetype<usize>(buf), 512));
  }

  /** In connectionLost: why, in the server's words. */
  get reasonText(): string {
    const buf = new ArrayBuffer(512);
    return text(buf, host.reason(this.handle, changetype<usize>(buf), 512));
  }

  /** What ALPN agreed on. */
  get negotiatedProtocol(): string {
    const buf = new ArrayBuffer(512);
    return text(buf, host.negotiatedProtocol(this.handle, changetype<usize>(buf), 512));
  }

  /** The DER form of the peer's certificate; null without one. */
  get peerCertificate(): Uint8Array | null {
    const size = host.getPeerCertificate(this.handle, 0, 0);
    if (size <= 0) return null;
    const der = new Uint8Array(size);
    host.getPeerCertificate(this.handle, der.dataStart, size);
    return der;
  }

  /** Calls the protocol's delayedCall after ms, unless the connection ends before; 0 is
   *  the loop's next turn. The timer's handle, or a status. */
  callLater(ms: i32): i32 {
    const timer = host.callLater(ms);
    return timer < 0 ? timer : this.restoreCall(timer);
  }

  /** For restoreState: a timer moves under its handle, to this protocol. */
  restoreCall(timer: i32): i32 {
    let list = this.timers;
    if (!list) this.timers = list = [];
    list.push(timer);
    timerConns.set(timer, this);
    return timer;
  }
}

function text(buf: ArrayBuffer, n: i32): string {
  return n <= 0 || n > buf.byteLength ? "" : String.UTF8.decodeUnsafe(changetype<usize>(buf), n);
}

// Reactor ------------------------------------------------------------------------------

// Timers by handle: of a connection, and others.
const timerConns = new Map<i32, Transport>();
const timerCalls = new Map<i32, DelayedCall>();

/** Calls f once, after ms; it may outlive the connection that made it. The timer's
 *  handle, or a status. */
export function callLater(ms: i32, f: DelayedCall): i32 {
  const timer = host.callLater(ms);
  return timer < 0 ? timer : restoreCall(timer, f);
}

/** For restoreState: a timer moves under its handle, and f takes its call over. */
export function restoreCall(timer: i32, f: DelayedCall): i32 {
  timerCalls.set(timer, f);
  return timer;
}

export function cancel(timer: i32): i32 {
  const status = host.cancel(timer);
  if (status == 0 || status == Status.NO_TIMER) forget(timer);
  return status;
}

/** Makes a timer due at ms from now. */
export function reset(timer: i32, ms: i32): i32 {
  return host.reset(timer, ms);
}

function forget(timer: i32): void {
  timerCalls.delete(timer);
  if (!timerConns.has(timer)) return;
  const list = timerConns.get(timer).timers!;
  list.splice(list.indexOf(timer), 1);
  timerConns.delete(timer);
}

/** The reactor's clock, monotonic. */
export function seconds(): f64 {
  return host.seconds();
}

/** Opens a connection to a text endpoint such as tcp://127.0.0.1:5432 within ms (0: the
 *  server's own) for p. connectionMade or clientConnectionFailed follows; until then
 *  loseConnection cancels, and writes are NO_CONNECTION. 0, or a status. */
export function connect(endpoint: string, ms: i32, p: Protocol): i32 {
  const b = String.UTF8.encode(endpoint);
  const handle = host.connect(changetype<usize>(b), b.byteLength, ms);
  if (handle < 0) return handle;
  const t = new Transport(handle);
  t.pending = true;
  attach(t, p);
  return 0;
}

/** Writes a line to the server's log. */
export function log(level: Level, text: string): i32 {
  const b = String.UTF8.encode(text);
  return host.emit(level, changetype<usize>(b), b.byteLength);
}

/** The plugin's config section, as JSON. */
export function configJSON(): string {
  const size = host.config(0, 0);
  if (size <= 0) return "";
  const buf = new ArrayBuffer(size);
  return text(buf, host.config(changetype<usize>(buf), size));
}

// The instance ----------------------------------------------------------------------------

const LARGE: i32 = 4 << 10; // bytes that are sent at once, from where they lie
const GATHER: i32 = 64 << 10;

const out: usize = heap.alloc(GATHER); // what this callback wrote
let outLen: i32 = 0;
let outConn: Transport | null = null; // to whom
const iov: usize = memory.data(16);
let saving: bool = false;
let registered: Factory | null = null;

// Transports by handle. Handles come in sequence, so their low bits spread well.
let slots = new StaticArray<Transport | null>(4);
let conns: i32 = 0;

/** Says which Factory builds the protocols. Called once, in the entry file. */
export function register(f: Factory): void {
  registered = f;
}

/** What was registered. The exports call it. */
export function factory(): Factory {
  return registered!;
}

/** The connection with a handle; null: it has ended. */
export function find(handle: i32): Transport | null {
  let t = slots[handle & (slots.length - 1)];
  while (t && t.handle != handle) t = t.next;
  return t;
}

function put(t: Transport): void {
  const slot = t.handle & (slots.length - 1);
  t.next = slots[slot];
  slots[slot] = t;
}

/** Joins a connection and its protocol. */
export function attach(t: Transport, p: Protocol): void {
  t.protocol = p;
  p.transport = t;
  if (conns++ == slots.length) {
    const old = slots;
    slots = new StaticArray<Transport | null>(2 * old.length);
    for (let i = 0; i < old.length; i++) {
      let moved = old[i];
      while (moved) {
        const next = moved.next;
        put(moved);
        moved = next;
      }
    }
  }
  put(t);
}

/** Forgets an ended connection. */
export function detach(t: Transport): void {
  let timers = t.timers;
  while (timers && timers.length > 0) cancel(timers[0]);
  leave();
  t.ended = true;
  const slot = t.handle & (slots.length - 1);
  let at = slots[slot];
  if (at == t) {
    slots[slot] = t.next;
  } else {
    while (at && at.next != t) at = at.next;
    if (at) at.next = t.next;
  }
  t.next = null;
  conns--;
}

/** Sends what is gathered, which is for t, and a range behind it. */
function send(t: Transport, ptr: usize, len: i32): i32 {
  const gathered = outLen;
  outLen = 0;
  if (gathered == 0) return host.write(t.handle, ptr, len);
  if (len == 0) return host.write(t.handle, out, gathered);
  store<u32>(iov, <u32>out);
  store<u32>(iov, gathered, 4);
  store<u32>(iov, <u32>ptr, 8);
  store<u32>(iov, len, 12);
  return host.writeSequence(t.handle, iov, 2);
}

/** Ends a callback, or what it wrote to one connection. The exports call it. */
export function leave(): void {
  const t = outConn;
  if (!t) return;
  outConn = null;
  if (outLen == 0) return;
  const status = send(t, 0, 0);
  if (status < 0) {
    t.error = status;
    log(Level.Warn, "write failed: status -" + digits(-status));
  }
}

/** What n is in decimal. (i32.toString brings tables along.) */
export function digits(n: u32): string {
  let s = String.fromCharCode(48 + (n % 10));
  while ((n /= 10) > 0) s = String.fromCharCode(48 + (n % 10)) + s;
  return s;
}

/** The call of a timer that is due. The exports call it. */
export function due(timer: i32): void {
  if (timerConns.has(timer)) {
    const t = timerConns.get(timer);
    forget(timer);
    t.protocol!.delayedCall(timer);
  } else if (timerCalls.has(timer)) {
    const f = timerCalls.get(timer);
    forget(timer);
    f.call();
  } else {
    log(Level.Warn, "a timer is due and has no call: restoreState did not claim it");
  }
}

/** In saveState nothing may be written. The exports call it. */
export function setSaving(on: bool): void {
  saving = on;
}
