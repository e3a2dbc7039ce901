;; Echoes; but what begins with T turns TLS on, behind "go" in plain text, and when it is
;; up, "up" is the first thing in it.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "startTLS" (func $startTLS (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "goup")
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (if (i32.eq (i32.load8_u (local.get $ptr)) (i32.const 0x54))
      (then
        (drop (call $write (local.get $conn) (i32.const 0) (i32.const 2)))
        (drop (call $startTLS (local.get $conn))))
      (else (drop (call $write (local.get $conn) (local.get $ptr) (local.get $len))))))
  (func (export "handshakeCompleted") (param $conn i32)
    (drop (call $write (local.get $conn) (i32.const 2) (i32.const 2))))
  (func (export "connectionLost") (param i32 i32)))
