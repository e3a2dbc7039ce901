;; Turns TLS on when a connection is made, sends its configuration, a text, when it is up, and
;; then echoes what comes.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "startTLS" (func $startTLS (param i32) (result i32)))
  (import "factory" "config" (func $config (param i32 i32) (result i32)))
  (memory (export "memory") 3)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0001_0000))
  (func (export "connectionMade") (param $conn i32)
    (drop (call $startTLS (local.get $conn))))
  (func (export "handshakeCompleted") (param $conn i32)
    (local $n i32)
    (local.set $n (call $config (i32.const 0) (i32.const 256))) ;; "TAG", with its quotes
    (drop (call $write (local.get $conn) (i32.const 1) (i32.sub (local.get $n) (i32.const 2)))))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (drop (call $write (local.get $conn) (local.get $ptr) (local.get $len))))
  (func (export "connectionLost") (param i32 i32)))
