;; Tries every handle but its own, and answers with how many were taken.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "abortConnection" (func $abort (param i32) (result i32)))
  (import "transport" "state" (func $state (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (local $h i32) (local $hits i32)
    (local.set $h (i32.const -1000))
    (loop $l
      (if (i32.ne (local.get $h) (local.get $conn))
        (then
          (if (i32.ne (call $abort (local.get $h)) (i32.const -1)) (then (local.set $hits (i32.add (local.get $hits) (i32.const 1)))))
          (if (i32.ne (call $state (local.get $h)) (i32.const -1)) (then (local.set $hits (i32.add (local.get $hits) (i32.const 1)))))
          (if (i32.ne (call $write (local.get $h) (i32.const 0) (i32.const 4)) (i32.const -1)) (then (local.set $hits (i32.add (local.get $hits) (i32.const 1)))))))
      (local.set $h (i32.add (local.get $h) (i32.const 1)))
      (br_if $l (i32.lt_s (local.get $h) (i32.const 1000))))
    (call $say (local.get $conn) (local.get $hits)))
  (func (export "connectionLost") (param $conn i32) (param $reason i32))
  (func $say (param $conn i32) (param $n i32)
      (i32.store (i32.const 0) (local.get $n))
      (drop (call $write (local.get $conn) (i32.const 0) (i32.const 4)))))
