;; echo for Extism: takes the input into its own memory, as every Extism PDK
;; does, and gives it back as output.
(module
  (import "extism:host/env" "input_length" (func $inputLength (result i64)))
  (import "extism:host/env" "input_load_u64" (func $inputLoad64 (param i64) (result i64)))
  (import "extism:host/env" "input_load_u8" (func $inputLoad8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store64 (param i64 i64)))
  (import "extism:host/env" "store_u8" (func $store8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $outputSet (param i64 i64)))
  (memory (export "memory") 2)
  (func (export "echo") (result i32)
    (local $n i64) (local $words i64) (local $i i64) (local $out i64)
    (local.set $n (call $inputLength))
    (local.set $words (i64.and (local.get $n) (i64.const -8)))
    (block $read (loop $next
      (br_if $read (i64.ge_u (local.get $i) (local.get $words)))
      (i64.store (i32.wrap_i64 (local.get $i)) (call $inputLoad64 (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 8)))
      (br $next)))
    (block $read (loop $next
      (br_if $read (i64.ge_u (local.get $i) (local.get $n)))
      (i32.store8 (i32.wrap_i64 (local.get $i)) (call $inputLoad8 (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (local.set $out (call $alloc (local.get $n)))
    (local.set $i (i64.const 0))
    (block $written (loop $next
      (br_if $written (i64.ge_u (local.get $i) (local.get $words)))
      (call $store64 (i64.add (local.get $out) (local.get $i)) (i64.load (i32.wrap_i64 (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 8)))
      (br $next)))
    (block $written (loop $next
      (br_if $written (i64.ge_u (local.get $i) (local.get $n)))
      (call $store8 (i64.add (local.get $out) (local.get $i)) (i32.load8_u (i32.wrap_i64 (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (call $outputSet (local.get $out) (local.get $n))
    (i32.const 0)))
