;; Works in each dataReceived, three parts in $three and one in $one, and writes the bytes back.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0001_0000)) ;; 64 KiB at 1024
  (func (export "connectionMade") (param i32))
  (func $three (param $n i32)
    (loop $again
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $one (param $n i32)
    (loop $again
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $work
    (call $three (i32.const 3000))
    (call $one (i32.const 1000)))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (call $work)
    (drop (call $write (local.get $conn) (local.get $ptr) (local.get $len))))
  (func (export "connectionLost") (param i32 i32)))
