// Listeners that a plugin opens: see wirehost.ts. It has this beside wirehost.ts because a class
// costs something where nobody uses it, too.
import { Maker, Protocol, Status, Transport, listen, listenerHost, setPorts, stopListening } from "./wirehost";

/** A listener that the plugin has opened, and the factory of what comes there (Twisted's
 *  IListeningPort): extend it with buildProtocol. */
export abstract class Port {
  private _handle: i32 = 0;

  /** The protocol of a connection that has come to it; null refuses it. */
  abstract buildProtocol(t: Transport): Protocol | null;

  /** Listens at a text endpoint: tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH. HOST is an
   *  address, or nothing, which is all; of port 0 host tells which it is. What comes there comes
   *  to this instance. 0, or a status: NOT_ALLOWED where the configuration's allow.listen does
   *  not have the endpoint, BUSY where it is in use. In a reload the listener moves by itself: a
   *  new version that listens at the same endpoint in startFactory gets it, and one that learns
   *  of it from the factory's state takes it over with restore. */
  listen(endpoint: string): i32 {
    const handle = listen(endpoint);
    if (handle > 0) this.restore(handle);
    return min(handle, 0);
  }

  /** For the factory's restoreState, which comes before the connections': this is for what has
   *  come and comes to a listener. What comes to one that nobody has taken over goes to the
   *  factory. */
  restore(handle: i32): void {
    this._handle = handle;
    ports.set(handle, this);
    setPorts(maker);
  }

  /** The number that the server knows it by, for saveState; 0: it does not listen. */
  get handle(): i32 {
    return this._handle;
  }

  /** Where it listens, with the port that it got. */
  get host(): string {
    return listenerHost(this._handle);
  }

  /** Closes it; its connections go on. 0, or a status. */
  stopListening(): i32 {
    const status = stopListening(this._handle);
    if (status == Status.OK || status == Status.NO_CONNECTION) {
      ports.delete(this._handle);
      this._handle = 0;
    }
    return status;
  }
}

const ports = new Map<i32, Port>();

class AtPort extends Maker {
  make(t: Transport): bool {
    const handle = t.listener;
    if (!ports.has(handle)) return false;
    this.made = ports.get(handle).buildProtocol(t);
    return true;
  }
}

const maker = new AtPort();
