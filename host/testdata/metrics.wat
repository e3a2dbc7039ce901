;; Has metrics of its own. The start section defines starts_total, _initialize bytes_total
;; and startFactory sizes and last_size. Each dataReceived adds its bytes to the counter,
;; observes them and sets the gauge; a record that is refused is a trap. The ids lie in
;; globals, and so in images.
(module
  (import "metrics" "define" (func $define (param i32 i32 i32) (result i32)))
  (import "metrics" "record" (func $record (param i32 f64) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "starts_total")
  (data (i32.const 16) "bytes_total")
  (data (i32.const 32) "sizes")
  (data (i32.const 48) "last_size")
  (global $starts (mut i32) (i32.const 0))
  (global $bytes (mut i32) (i32.const 0))
  (global $sizes (mut i32) (i32.const 0))
  (global $last (mut i32) (i32.const 0))
  (func $begin (global.set $starts (call $define (i32.const 1) (i32.const 0) (i32.const 12))))
  (start $begin)
  (func (export "abi_version_1"))
  (func (export "_initialize")
    (global.set $bytes (call $define (i32.const 1) (i32.const 16) (i32.const 11))))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "startFactory") (result i32)
    (global.set $sizes (call $define (i32.const 3) (i32.const 32) (i32.const 5)))
    (global.set $last (call $define (i32.const 2) (i32.const 48) (i32.const 9)))
    (call $record (global.get $starts) (f64.const 1)))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (if (i32.or (i32.or
          (call $record (global.get $bytes) (f64.convert_i32_u (local.get $len)))
          (call $record (global.get $sizes) (f64.convert_i32_u (local.get $len))))
          (call $record (global.get $last) (f64.convert_i32_u (local.get $len))))
      (then (unreachable))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
