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
// Build it with asc (npm's assemblyscript, 0.28):
//
//	asc echo.ts -o echo.wasm -O3 --shrinkLevel 2 --noAssert --use abort=
//
// While you look for a fault, use wirehost's abort and keep the names:
//
//	asc echo.ts -o echo.wasm -O --debug --use abort=wirehost/abort
//
// (with the path of this file, from the working folder, before /abort).
//
// Callbacks run one after another on one thread, never one inside another. They must
// not block. Bytes that they get are valid until they return: slice() what is to be
// kept. Small writes of a callback are gathered and sent with one call to the server
// when it returns.
//
// A function that can fail returns a negative Status; 0 or a count otherwise.

// What `wirehost inspect` shows: wirehost_sdk:AssemblyScript 0.1.0, and a line end.
memory.data<u8>([
  119, 105, 114, 101, 104, 111, 115, 116, 95, 115, 100, 107, 58, 65, 115, 115, 101,
  109, 98, 108, 121, 83, 99, 114, 105, 112, 116, 32, 48, 46, 49, 46, 48, 10,
]);

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
  /** Set before connectionMade or restoreState. */
  transport!: Transport;

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

  /** Drops what a framer holds: it came in plain text. The SDK calls it. */
  startedTLS(): void {}
}

/** Builds the protocols. There is one in each instance: by default one for each event
 *  loop, so that what it remembers is shared by the connections of that loop. With
 *  isolation shared in the plugin's configuration one serves all. */
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

/** What a Table finds by its handle. */
class Entry {
  next: Entry | null = null; // in its slot

  constructor(
    /** The number that the server knows it by. */
    readonly handle: i32,
  ) {}
}

/** A connection. Once it has ended, every function returns Status.NO_CONNECTION. */
export class Transport extends Entry {
  /** Set by the SDK. */
  protocol!: Protocol;
  timers: Timer | null = null; // of callLater
  error: i32 = 0; // of the last sending at the end of a callback
  pending: bool = false; // outgoing, and not made yet
  closing: bool = false; // loseConnection or abortConnection was called
  half: bool = false; // loseWriteConnection was called
  aborted: bool = false;
  lost: bool = false;
  producer: bool = false;
  ended: bool = false;
  paused: bool = false; // a framer delivers nothing
  shaking: bool = false; // from startTLS until handshakeCompleted

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
    if (!this.ended) this.protocol.goOn();
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

  /** Begins TLS as its server, behind what was written in plain text. What came in plain
   *  text behind the command that asks for it is no part of the encrypted session (RFC
   *  3207, section 4.2): a framer drops all that it holds, and takes in nothing until
   *  handshakeCompleted. What the protocol itself has kept, or is just getting in a
   *  dataReceived of its own, is its own to forget. Only 0 does so: the connection goes on
   *  in plain text otherwise. */
  startTLS(): i32 {
    this.flushed();
    const status = host.startTLS(this.handle);
    if (status == 0) {
      this.shaking = true;
      this.protocol.startedTLS();
    }
    return status;
  }

  /** The remote endpoint, such as tcp://127.0.0.1:5000; "" where there is none. */
  get peer(): string {
    const buf = new ArrayBuffer(TEXT);
    return text(buf, host.getPeer(this.handle, changetype<usize>(buf), TEXT));
  }

  /** Our endpoint. */
  get host(): string {
    const buf = new ArrayBuffer(TEXT);
    return text(buf, host.getHost(this.handle, changetype<usize>(buf), TEXT));
  }

  /** In connectionLost: why, in the server's words. */
  get reasonText(): string {
    const buf = new ArrayBuffer(TEXT);
    return text(buf, host.reason(this.handle, changetype<usize>(buf), TEXT));
  }

  /** What ALPN agreed on. */
  get negotiatedProtocol(): string {
    const buf = new ArrayBuffer(TEXT);
    return text(buf, host.negotiatedProtocol(this.handle, changetype<usize>(buf), TEXT));
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
    if (this.ended) return Status.NO_CONNECTION;
    const timer = host.callLater(ms);
    return timer < 0 ? timer : this.restoreCall(timer);
  }

  /** For restoreState: a timer moves under its handle, to this protocol. */
  restoreCall(timer: i32): i32 {
    const t = new Timer(timer);
    t.conn = this;
    t.sibling = this.timers;
    this.timers = t;
    timers.put(t);
    return timer;
  }
}

const TEXT: i32 = 512; // bytes for a text of the server's

function text(buf: ArrayBuffer, n: i32): string {
  return n <= 0 || n > buf.byteLength ? "" : String.UTF8.decodeUnsafe(changetype<usize>(buf), n);
}

// Reactor ------------------------------------------------------------------------------

/** A call to come: extend it with call, for callLater. */
export abstract class DelayedCall {
  abstract call(): void;
}

class Timer extends Entry {
  conn: Transport | null = null; // whose protocol it calls,
  sibling: Timer | null = null; // and that one's next timer
  call: DelayedCall | null = null;
}

/** Calls f once, after ms; it may outlive the connection that made it. The timer's
 *  handle, or a status. */
export function callLater(ms: i32, f: DelayedCall): i32 {
  const timer = host.callLater(ms);
  return timer < 0 ? timer : restoreCall(timer, f);
}

/** For restoreState: a timer moves under its handle, and f takes its call over. */
export function restoreCall(timer: i32, f: DelayedCall): i32 {
  const t = new Timer(timer);
  t.call = f;
  timers.put(t);
  return timer;
}

export function cancel(timer: i32): i32 {
  const t = timers.find(timer);
  if (!t) return Status.NO_TIMER;
  forget(changetype<Timer>(t));
  return host.cancel(timer);
}

/** Makes a timer due at ms from now. */
export function reset(timer: i32, ms: i32): i32 {
  return timers.find(timer) ? host.reset(timer, ms) : Status.NO_TIMER;
}

function forget(t: Timer): void {
  timers.remove(t);
  const conn = t.conn;
  if (!conn) return;
  let at = conn.timers;
  if (at == t) {
    conn.timers = t.sibling;
    return;
  }
  while (at && at.sibling != t) at = at.sibling;
  if (at) at.sibling = t.sibling;
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

/** For asc's --use abort=wirehost/abort: logs what was thrown, and where, and traps. */
export function abort(message: string | null, file: string | null, line: i32, column: i32): void {
  const what = message ? message : "abort";
  log(Level.Error, file ? `${what} (${file}:${digits(line)}:${digits(column)})` : what);
  unreachable();
}

/** What n is in decimal. (u64.toString brings tables along.) */
export function digits(n: u64): string {
  let s = String.fromCharCode(48 + <i32>(n % 10));
  while ((n /= 10) > 0) s = String.fromCharCode(48 + <i32>(n % 10)) + s;
  return s;
}

// Configuration --------------------------------------------------------------------------

/** The plugin's config section, as JSON. */
export function configJSON(): string {
  const size = host.config(0, 0);
  if (size <= 0) return "";
  const buf = new ArrayBuffer(size);
  return text(buf, host.config(changetype<usize>(buf), size));
}

/** The plugin's config section: texts, whole numbers and booleans by key. In
 *  startFactory take each key that there may be, and return what finish says. */
export class Config {
  private json: string = configJSON();
  private keys: string[] = [];
  private starts: i32[] = []; // of the keys' values
  private at: i32 = 0;
  private fault: string = "";

  constructor() {
    this.peek();
    this.at++; // the brace
    while (this.peek() == 0x22 /* " */) {
      const key = this.string();
      this.peek(); // the colon
      this.at++;
      this.peek();
      this.keys.push(key);
      this.starts.push(this.at);
      this.skip();
      if (this.peek() == 0x2c /* , */) this.at++;
    }
  }

  /** A key's text, or what it is without one. */
  text(key: string, otherwise: string): string {
    if (!this.take(key)) return otherwise;
    if (this.peek() == 0x22) return this.string();
    this.wanted(key, "a text");
    return otherwise;
  }

  /** A key's whole number, of at most 18 digits. */
  integer(key: string, otherwise: i64): i64 {
    if (!this.take(key)) return otherwise;
    const minus = this.peek() == 0x2d /* - */;
    if (minus) this.at++;
    const start = this.at;
    let n: i64 = 0;
    for (; this.digit() >= 0 && this.at < start + 19; this.at++) n = n * 10 + this.digit();
    const next = this.code(0) | 0x20;
    if (this.at > start && this.at < start + 19 && next != 0x2e /* . */ && next != 0x65 /* e */) return minus ? -n : n;
    this.wanted(key, "a whole number");
    return otherwise;
  }

  boolean(key: string, otherwise: bool): bool {
    if (!this.take(key)) return otherwise;
    const first = this.peek();
    if (first == 0x74 /* true */ || first == 0x66 /* false */) return first == 0x74;
    this.wanted(key, "true or false");
    return otherwise;
  }

  /** False, with a line in the log, where a value did not fit or a key was not taken. */
  finish(): bool {
    if (this.fault == "" && this.keys.length > 0) this.fault = "config." + this.keys[0] + ": no such key";
    if (this.fault != "") log(Level.Error, this.fault);
    return this.fault == "";
  }

  /** Goes to a key's value. */
  private take(key: string): bool {
    const i = this.keys.indexOf(key);
    if (i < 0) return false;
    this.at = this.starts[i];
    this.keys.splice(i, 1);
    this.starts.splice(i, 1);
    return true;
  }

  private wanted(key: string, what: string): void {
    if (this.fault == "") this.fault = "config." + key + ": wanted " + what;
  }

  // The server's JSON is well formed.

  private code(ahead: i32): i32 {
    const i = this.at + ahead;
    return i < this.json.length ? this.json.charCodeAt(i) : 0;
  }

  private digit(): i32 {
    const d = this.code(0) - 48;
    return d >= 0 && d < 10 ? d : -1;
  }

  /** The next that is no space; 0 is the end. */
  private peek(): i32 {
    while (this.code(0) != 0 && this.code(0) <= 0x20) this.at++;
    return this.code(0);
  }

  private skip(): void {
    let depth = 0;
    do {
      const c = this.peek();
      if (c == 0) return;
      if (c == 0x22) {
        this.string();
        continue;
      }
      if (c == 0x5b || c == 0x7b) depth++;
      if (c == 0x5d || c == 0x7d) depth--;
      if (depth > 0 || c == 0x5d || c == 0x7d) {
        this.at++;
        continue;
      }
      while (this.code(0) > 0x20 && this.code(0) != 0x2c && this.code(0) != 0x7d) this.at++;
    } while (depth > 0);
  }

  private string(): string {
    let s = "";
    this.at++;
    for (let c = this.code(0); c != 0x22 && c != 0; c = this.code(0)) {
      this.at++;
      if (c == 0x5c /* \\ */) {
        c = this.code(0);
        this.at++;
        if (c == 0x62) c = 8;
        else if (c == 0x66) c = 12;
        else if (c == 0x6e) c = 10;
        else if (c == 0x72) c = 13;
        else if (c == 0x74) c = 9;
        else if (c == 0x75 /* u */) {
          c = 0;
          for (let end = this.at + 4; this.at < end; this.at++) {
            const d = this.code(0);
            c = (c << 4) | (d <= 0x39 ? d - 48 : (d | 0x20) - 87);
          }
        }
      }
      s += String.fromCharCode(c);
    }
    this.at++;
    return s;
  }
}

// States -----------------------------------------------------------------------------------

/** Puts a state together. */
export class Writer {
  private room: ArrayBuffer = new ArrayBuffer(64);
  private len: i32 = 0;

  private more(n: i32): usize {
    if (this.len + n > this.room.byteLength) {
      const wide = new ArrayBuffer(2 * (this.len + n));
      memory.copy(changetype<usize>(wide), changetype<usize>(this.room), this.len);
      this.room = wide;
    }
    this.len += n;
    return changetype<usize>(this.room) + this.len - n;
  }

  bytes(b: Uint8Array): void {
    memory.copy(this.more(b.byteLength), b.dataStart, b.byteLength);
  }

  u8(v: u8): void {
    store<u8>(this.more(1), v);
  }

  /** 4 bytes, little-endian. */
  u32(v: u32): void {
    store<u32>(this.more(4), v);
  }

  /** An unsigned LEB128. */
  leb(v: u64): void {
    for (; v > 0x7f; v >>= 7) this.u8(<u8>v | 0x80);
    this.u8(<u8>v);
  }

  /** What was put in. */
  get state(): Uint8Array {
    return Uint8Array.wrap(this.room, 0, this.len);
  }
}

/** Takes a state apart. Once there is less than is asked for, failed is set, and what
 *  is read is 0 or empty. */
export class Reader {
  failed: bool = false;
  private at: i32 = 0;

  constructor(private from: Uint8Array) {}

  get left(): i32 {
    return this.from.byteLength - this.at;
  }

  /** The next n bytes; -1 is all that are left. */
  bytes(n: i32): Uint8Array {
    if (n < 0) n = this.left;
    if (n > this.left) {
      this.failed = true;
      n = 0;
    }
    this.at += n;
    return this.from.subarray(this.at - n, this.at);
  }

  u8(): u8 {
    const b = this.bytes(1);
    return this.failed ? 0 : load<u8>(b.dataStart);
  }

  u32(): u32 {
    const b = this.bytes(4);
    return this.failed ? 0 : load<u32>(b.dataStart);
  }

  leb(): u64 {
    let v: u64 = 0;
    for (let i: u64 = 0; i < 10; i++) {
      const b = this.u8();
      if (i == 9 && b > 1) break;
      v |= (<u64>(b & 0x7f)) << (7 * i);
      if (b < 0x80) return v;
    }
    this.failed = true;
    return 0;
  }
}

// Framers ------------------------------------------------------------------------------------
//
// Names and limits are those of twisted.protocols.basic; after loseConnection they
// deliver nothing more. Where a limit is broken the connection is closed. What they
// deliver lies in a buffer and is valid until the callback returns.

const MAX_LINE: i32 = 16384;
const MAX_STRING: i32 = 99999;

/** The fields of a Uint8Array, in their order. */
class View {
  buffer!: ArrayBuffer;
  dataStart: usize;
  byteLength: i32;
}

/** Makes a view show other bytes, with no garbage. */
export function aim(view: Uint8Array, buffer: ArrayBuffer, at: i32, len: i32): Uint8Array {
  const v = changetype<View>(view);
  if (v.buffer != buffer) v.buffer = buffer;
  v.dataStart = changetype<usize>(buffer) + at;
  v.byteLength = len;
  return view;
}

/** What the framers share. Names with _ in front are their own. */
export abstract class Framer extends Protocol {
  protected _raw: bool = false;
  protected _scanned: i32 = 0; // bytes in which no delimiter begins
  protected _at: i32 = 0; // inside pump: what is not consumed,
  protected _left: i32 = 0; // in from
  private _from: ArrayBuffer | null = null; // the held bytes, or those just received
  private _keep: ArrayBuffer | null = null; // outside pump: what is not consumed
  private _kept: i32 = 0; // bytes of keep
  private _busy: bool = false;
  private _frame: Uint8Array = new Uint8Array(0); // what is delivered

  /** Delivers one frame from the front of what is there. False: there is no whole one. */
  protected abstract _step(): bool;

  /** Where the bytes that are not consumed lie. */
  protected get _front(): usize {
    return changetype<usize>(this._from) + this._at;
  }

  protected _take(skip: i32, n: i32, behind: i32): Uint8Array {
    const frame = aim(this._frame, this._from!, this._at + skip, n);
    this._at += skip + n + behind;
    this._left -= skip + n + behind;
    return frame;
  }

  /** Gives back the end of what take took. */
  protected _untake(n: i32): void {
    if (n == 0 || this.transport.shaking) return;
    if (!this._busy || n < 0 || n > this._at) unreachable();
    this._at -= n;
    this._left += n;
  }

  dataReceived(data: Uint8Array): void {
    if (this._busy) unreachable(); // a framer was called by what it delivers to
    if (this.transport.shaking) return;
    const own = this._kept > 0;
    if (own) {
      this._hold(data.dataStart, data.byteLength);
      this._pump(this._keep!, 0, this._kept);
    } else {
      this._pump(data.buffer, data.byteOffset, data.byteLength);
    }
    const left = this._left;
    const rest = this._front;
    this._left = 0;
    if (left == 0 || this.transport.disconnecting) {
      this._drop();
    } else if (own) {
      memory.copy(changetype<usize>(this._keep), rest, left);
      this._kept = left;
    } else {
      this._hold(rest, left);
    }
    this._from = null;
  }

  private _pump(from: ArrayBuffer, at: i32, len: i32): void {
    this._from = from;
    this._at = at;
    this._left = len;
    this._busy = true;
    const t = this.transport;
    while (!t.paused && !t.disconnecting && this._step()) {}
    this._busy = false;
  }

  private _hold(ptr: usize, n: i32): void {
    const keep = this._keep;
    if (!keep || keep.byteLength < this._kept + n) {
      const wide = new ArrayBuffer(max(64, 2 * (this._kept + n)));
      memory.copy(changetype<usize>(wide), changetype<usize>(keep), this._kept);
      this._keep = wide;
    }
    memory.copy(changetype<usize>(this._keep) + this._kept, ptr, n);
    this._kept += n;
  }

  private _drop(): void {
    this._keep = null;
    this._kept = 0;
  }

  goOn(): void {
    if (!this._busy && this._kept > 0) this.dataReceived(new Uint8Array(0));
  }

  /** What is received and not delivered; a copy. */
  get held(): Uint8Array {
    const n = this._busy ? this._left : this._kept;
    const copy = new Uint8Array(n);
    memory.copy(copy.dataStart, this._busy ? this._front : changetype<usize>(this._keep), n);
    return copy;
  }

  set held(b: Uint8Array) {
    this._drop();
    this._hold(b.dataStart, b.byteLength);
  }

  /** Drops what is received and not delivered. */
  protected _clear(): void {
    this._left = this._scanned = 0;
    if (!this._busy) this._drop();
  }

  startedTLS(): void {
    this._clear();
  }

  /** Saves the framer's part of a state: a byte of flags (1 paused, 2 raw), the length
   *  of what is held, and that. The other SDKs write the same. */
  saveFramer(to: Writer): void {
    const held = this.held;
    to.u8(u8(this.transport.paused) | (u8(this._raw) << 1));
    to.leb(held.byteLength);
    to.bytes(held);
  }

  /** Its inverse; false: they are no such state. */
  restoreFramer(from: Reader): bool {
    const flags = from.u8();
    const n = from.leb();
    if (from.failed || n > <u64>from.left) return false;
    this.transport.paused = (flags & 1) != 0;
    this._raw = (flags & 2) != 0;
    this.held = from.bytes(<i32>n);
    return true;
  }

  /** Closes over a peer's fault. */
  protected _closeFor(fault: string): void {
    log(Level.Debug, fault);
    this.transport.loseConnection();
  }
}

/** Cuts the stream into lines. */
export abstract class LineReceiver extends Framer {
  /** The longest line, without its delimiter. */
  maxLength: i32 = MAX_LINE;
  private _delimiter: ArrayBuffer = String.UTF8.encode("\r\n");

  /** A line, without its delimiter. */
  abstract lineReceived(line: Uint8Array): void;

  /** In raw mode: whatever came. */
  rawDataReceived(data: Uint8Array): void {}

  /** A line is too long: its first bytes. This one closes. */
  lineLengthExceeded(held: Uint8Array): void {
    this._closeFor("a line is too long");
  }

  /** What ends a line, one byte or more; CRLF at first. */
  set delimiter(text: string) {
    this._delimiter = String.UTF8.encode(text);
    this._scanned = 0;
  }

  get delimiter(): string {
    return String.UTF8.decode(this._delimiter);
  }

  get rawMode(): bool {
    return this._raw;
  }

  /** What follows goes to rawDataReceived. */
  setRawMode(): void {
    this._raw = true;
    this._scanned = 0;
  }

  /** What follows is lines. The last extra bytes of what rawDataReceived just got belong
   *  to them. */
  setLineMode(extra: i32 = 0): void {
    this._raw = false;
    this._scanned = 0;
    this._untake(extra);
    this.goOn();
  }

  /** Drops what is received and not delivered. */
  clearLineBuffer(): void {
    this._clear();
  }

  sendLine(line: Uint8Array): i32 {
    const status = this.transport.write(line);
    return status < 0 ? status : this._sendDelimiter();
  }

  /** sendLine of a text, as UTF-8. */
  sendText(line: string): i32 {
    const status = this.transport.writeText(line);
    return status < 0 ? status : this._sendDelimiter();
  }

  private _sendDelimiter(): i32 {
    return this.transport.writeRange(changetype<usize>(this._delimiter), this._delimiter.byteLength);
  }

  // Whether a line is too long is decided on its first maxLength and delimiter bytes,
  // however they came: where no delimiter ends in them, it can only be.
  protected _step(): bool {
    const left = this._left;
    if (left == 0) return false;
    if (this._raw) {
      this.rawDataReceived(this._take(0, left, 0));
      return true;
    }
    const delimiter = this._delimiter;
    const m = delimiter.byteLength;
    const most = this.maxLength + m;
    const window = min(left, most);
    const found = findBytes(this._front, min(this._scanned, window), window, changetype<usize>(delimiter), m);
    if (found >= 0) {
      this._scanned = 0;
      this.lineReceived(this._take(0, found, m));
      return true;
    }
    if (left >= most) {
      this._scanned = 0;
      this.lineLengthExceeded(this._take(0, most, 0));
      return true;
    }
    this._scanned = max(0, window + 1 - m);
    return false;
  }
}

/** The first of from to end where the needle of m bytes begins; -1: nowhere. */
function findBytes(base: usize, from: i32, end: i32, needle: usize, m: i32): i32 {
  const first = load<u8>(needle);
  let i = findByte(base, from, end - m + 1, first);
  while (i >= 0 && memory.compare(base + i, needle, m) != 0) i = findByte(base, i + 1, end - m + 1, first);
  return i;
}

const ONES: u64 = 0x0101010101010101;

/** Looks at eight at once: a byte of x that is 0 has its top bit in zero. */
function findByte(base: usize, i: i32, end: i32, b: u8): i32 {
  for (; i + 8 <= end; i += 8) {
    const x = load<u64>(base + i) ^ (ONES * b);
    const zero = (x - ONES) & ~x & (ONES << 7);
    if (zero != 0) return i + <i32>(ctz(zero) >> 3);
  }
  for (; i < end; i++) if (load<u8>(base + i) == b) return i;
  return -1;
}

/** What the receivers of strings share. */
export abstract class StringReceiver extends Framer {
  /** The longest string. */
  maxLength: i32 = MAX_STRING;

  abstract stringReceived(s: Uint8Array): void;

  /** Status.TOO_BIG: the length does not fit the prefix. */
  abstract sendString(s: Uint8Array): i32;
}

/** Strings as LENGTH:BYTES, with LENGTH in decimal. */
export abstract class NetstringReceiver extends StringReceiver {
  sendString(s: Uint8Array): i32 {
    let status = this.transport.writeText(digits(s.byteLength) + ":");
    if (status == 0) status = this.transport.write(s);
    return status < 0 ? status : this.transport.writeText(",");
  }

  // Closes at the first byte that is wrong.
  protected _step(): bool {
    const front = this._front;
    let size: i64 = 0;
    let i = 0;
    for (; ; i++) {
      if (i == this._left) return false;
      const b = load<u8>(front + i);
      if (b == 0x3a && i > 0) break;
      const d = <i32>b - 48;
      let fault = "";
      if (d < 0 || d > 9) fault = "a netstring's length is no number";
      else if (i > 0 && size == 0) fault = "a netstring's length begins with 0";
      else if (size * 10 + d > this.maxLength) fault = "a netstring is too long";
      if (fault != "") {
        this._closeFor(fault);
        return false;
      }
      size = size * 10 + d;
    }
    const n = <i32>size;
    if (this._left - i - 1 <= n) return false;
    if (load<u8>(front + i + 1 + n) != 0x2c) {
      this._closeFor("a netstring has no comma");
      return false;
    }
    this.stringReceived(this._take(i + 1, n, 1));
    return true;
  }
}

/** Strings behind their length, in some bytes, big-endian. */
export abstract class IntNReceiver extends StringReceiver {
  constructor(private _prefix: i32) {
    super();
  }

  /** A length over maxLength came; the connection closes when this returns. */
  lengthLimitExceeded(length: u32): void {}

  sendString(s: Uint8Array): i32 {
    const n = this._prefix;
    if (n < 4 && s.byteLength >> (8 * n) > 0) return Status.TOO_BIG;
    store<u32>(iov, bswap<u32>(<u32>s.byteLength));
    const status = this.transport.writeRange(iov + 4 - n, n);
    return status < 0 ? status : this.transport.write(s);
  }

  protected _step(): bool {
    const size = this._prefix;
    if (this._left < size) return false;
    let length: u32 = 0;
    for (let i = 0; i < size; i++) length = (length << 8) | load<u8>(this._front + i);
    if (length > <u32>this.maxLength) {
      this.lengthLimitExceeded(length);
      if (!this.transport.disconnecting) this._closeFor("a string is too long"); // what follows has no frame any more
      return false;
    }
    if (this._left - size < <i32>length) return false;
    this.stringReceived(this._take(size, length, 0));
    return true;
  }
}

export abstract class Int8Receiver extends IntNReceiver {
  constructor() {
    super(1);
  }
}

export abstract class Int16Receiver extends IntNReceiver {
  constructor() {
    super(2);
  }
}

export abstract class Int32Receiver extends IntNReceiver {
  constructor() {
    super(4);
  }
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

/** Entries by handle. Handles come in sequence, so their low bits spread well. */
class Table {
  private slots: StaticArray<Entry | null> = new StaticArray<Entry | null>(4);
  private count: i32 = 0;

  find(handle: i32): Entry | null {
    let e = unchecked(this.slots[handle & (this.slots.length - 1)]);
    while (e && e.handle != handle) e = e.next;
    return e;
  }

  private place(e: Entry): void {
    const slot = e.handle & (this.slots.length - 1);
    e.next = unchecked(this.slots[slot]);
    unchecked((this.slots[slot] = e));
  }

  put(e: Entry): void {
    const old = this.slots;
    if (this.count++ == old.length) {
      this.slots = new StaticArray<Entry | null>(2 * old.length);
      for (let i = 0; i < old.length; i++) {
        let moved = unchecked(old[i]);
        while (moved) {
          const next = moved.next;
          this.place(moved);
          moved = next;
        }
      }
    }
    this.place(e);
  }

  /** e is in the table. */
  remove(e: Entry): void {
    const slot = e.handle & (this.slots.length - 1);
    let at = unchecked(this.slots[slot]);
    if (at == e) unchecked((this.slots[slot] = e.next));
    else {
      while (at!.next != e) at = at!.next;
      at!.next = e.next;
    }
    this.count--;
  }
}

const conns = new Table();
const timers = new Table();

/** Says which Factory builds the protocols. Called once, in the entry file. */
export function register(f: Factory): void {
  registered = f;
}

/** The connection with a handle; null: it has ended. */
export function find(handle: i32): Transport | null {
  return changetype<Transport | null>(conns.find(handle));
}

// For exports.ts ----------------------------------------------------------------------------

/** What was registered. */
export function factory(): Factory {
  return registered!;
}

/** Joins a connection and its protocol. */
export function attach(t: Transport, p: Protocol): void {
  t.protocol = p;
  p.transport = t;
  conns.put(t);
}

/** Forgets an ended connection. */
export function detach(t: Transport): void {
  for (let timer = t.timers; timer; timer = t.timers) cancel(timer.handle);
  leave();
  t.ended = true;
  conns.remove(t);
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

/** Ends a callback, or what it wrote to one connection. */
export function leave(): void {
  const t = outConn;
  if (!t) return;
  outConn = null;
  if (outLen == 0) return;
  const status = send(t, 0, 0);
  if (status < 0) {
    t.error = status;
    log(Level.Warn, status == Status.TOO_BIG ? "a write failed: over a limit" : "a write failed");
  }
}

/** Makes the call of a timer that is due. */
export function due(timer: i32): void {
  const t = changetype<Timer | null>(timers.find(timer));
  if (!t) {
    log(Level.Warn, "a timer is due that restoreState did not claim");
    return;
  }
  forget(t);
  const conn = t.conn;
  if (conn) conn.protocol.delayedCall(timer);
  else t.call!.call();
}

/** In saveState nothing may be written. */
export function setSaving(on: bool): void {
  saving = on;
}
