;; echo, on the bare ABI (abi/ABI.md): it writes back every byte. Build it with wabt:
;;
;;	wat2wasm echo.wat -o echo.wasm
;;
;; The server calls what is exported here, one call after the other. A connection is a
;; number, its handle; a pointer is an offset in the memory.
(module
  ;; What the server gives. Only what a guest calls needs to be imported.
  ;; write queues len bytes at ptr. It returns how many the connection has queued, or a
  ;; negative status.
  (import "transport" "write" (func $write (param $conn i32) (param $ptr i32) (param $len i32) (result i32)))

  ;; Two pages of 64 KiB: the first is free, the second is the receive buffer.
  (memory (export "memory") 2)

  ;; Says for which version of the ABI this is. It is never called.
  (func (export "abi_version_1"))

  ;; Where the server puts what it reads: (65536 << 32) | 65536, which is the pointer and
  ;; the capacity, packed. It is asked once.
  (func (export "receiveBuffer") (result i64)
    (i64.const 0x0001_0000_0001_0000))

  ;; A connection was accepted: the first call for its handle.
  (func (export "connectionMade") (param $conn i32))

  ;; len bytes have come and lie at ptr, in the receive buffer, until this returns. A
  ;; negative status means that the connection is ending; connectionLost follows.
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (drop (call $write (local.get $conn) (local.get $ptr) (local.get $len))))

  ;; The connection has ended, for a reason of the ABI's list: the last call for its handle.
  (func (export "connectionLost") (param $conn i32) (param $reason i32))

  ;; All that follows may be left out. With these two a reload moves the connections to
  ;; the new version; without them they stay with the old one until they end.

  ;; The state of a connection, packed as above. 0 is an empty one: echo remembers nothing.
  (func (export "saveState") (param $conn i32) (result i64)
    (i64.const 0))

  ;; In the new version, in place of connectionMade. Other than 0 refuses.
  (func (export "restoreState") (param $conn i32) (param $version i32) (param $ptr i32) (param $len i32) (result i32)
    (i32.const 0)))
