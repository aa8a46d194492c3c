;; Put together as wit-component does it, and small enough to read.
(component
  (import "test:host/host" (instance $host
    (export "name" (func (result string)))
    (export "say" (func (param "text" string)))))

  (core module $main
    (import "test:host/host" "name" (func $name (param i32)))
    (import "test:host/host" "say" (func $say (param i32 i32)))
    (memory (export "memory") 1)
    (table 1 funcref)
    (elem (i32.const 0) func $greet)
    (global $free (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.add (global.get $free) (local.get 3))))
    (data (i32.const 16) "hello")
    (func $greet (param i32 i32)
      (call $say (i32.const 16) (i32.const 5))
      (call $name (i32.const 64))
      (call $say (i32.load (i32.const 64)) (i32.load (i32.const 68)))
      (call $say (local.get 0) (local.get 1)))
    (func (export "greet") (param i32 i32)
      (call_indirect (param i32 i32) (local.get 0) (local.get 1) (i32.const 0))))

  (core module $shim
    (table (export "$imports") 2 2 funcref)
    (func (export "0") (param i32)
      (call_indirect (param i32) (local.get 0) (i32.const 0)))
    (func (export "1") (param i32 i32)
      (call_indirect (param i32 i32) (local.get 0) (local.get 1) (i32.const 1))))

  (core module $fixup
    (import "" "0" (func (param i32)))
    (import "" "1" (func (param i32 i32)))
    (import "" "$imports" (table 2 2 funcref))
    (elem (i32.const 0) func 0 1))

  (core instance $shims (instantiate $shim))
  (alias core export $shims "0" (core func $shim-name))
  (alias core export $shims "1" (core func $shim-say))
  (core instance $imports
    (export "name" (func $shim-name))
    (export "say" (func $shim-say)))
  (core instance $mains (instantiate $main (with "test:host/host" (instance $imports))))
  (alias core export $mains "memory" (core memory $memory))
  (alias core export $shims "$imports" (core table $table))
  (alias core export $mains "cabi_realloc" (core func $realloc))
  (alias export $host "name" (func $name))
  (core func $lowered-name (canon lower (func $name) (memory $memory) (realloc $realloc)))
  (alias export $host "say" (func $say))
  (core func $lowered-say (canon lower (func $say) (memory $memory)))
  (core instance $arguments
    (export "$imports" (table $table))
    (export "0" (func $lowered-name))
    (export "1" (func $lowered-say)))
  (core instance (instantiate $fixup (with "" (instance $arguments))))

  (alias core export $mains "greet" (core func $greet))
  (func (export "greet") (param "ending" string)
    (canon lift (core func $greet) (memory $memory) (realloc $realloc))))
