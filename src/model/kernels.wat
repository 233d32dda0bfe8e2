;; Inner loops that JavaScript runs too slowly. Assembled by scripts/build-kernels.mjs into kernels.ts.
(module
  (import "js" "memory" (memory 1))

  ;; Transposes 4-byte elements: row r, column c goes from $source + r * $sourceStep + 4 * c to $target + c * $targetStep + 4 * r.
  ;; Steps are in bytes; $sourceStep may be negative.
  (func (export "transpose")
    (param $target i32) (param $targetStep i32) (param $source i32) (param $sourceStep i32) (param $rows i32) (param $columns i32)
    (local $row i32) (local $column i32) (local $wholeRows i32) (local $wholeColumns i32) (local $read i32) (local $write i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $e v128) (local $f v128)
    (local.set $wholeRows (i32.and (local.get $rows) (i32.const -4)))
    (local.set $wholeColumns (i32.and (local.get $columns) (i32.const -4)))
    (block $blocksDone
      (br_if $blocksDone (i32.eqz (local.get $wholeColumns)))
      (loop $rowBlocks
        (br_if $blocksDone (i32.ge_u (local.get $row) (local.get $wholeRows)))
        (local.set $column (i32.const 0))
        (loop $columnBlocks
          (local.set $read (i32.add (i32.add (local.get $source) (i32.mul (local.get $row) (local.get $sourceStep))) (i32.shl (local.get $column) (i32.const 2))))
          (local.set $a (v128.load (local.get $read)))
          (local.set $b (v128.load (local.tee $read (i32.add (local.get $read) (local.get $sourceStep)))))
          (local.set $c (v128.load (local.tee $read (i32.add (local.get $read) (local.get $sourceStep)))))
          (local.set $d (v128.load (local.tee $read (i32.add (local.get $read) (local.get $sourceStep)))))
          (local.set $write (i32.add (i32.add (local.get $target) (i32.mul (local.get $column) (local.get $targetStep))) (i32.shl (local.get $row) (i32.const 2))))
          ;; a0 b0 a1 b1 and c0 d0 c1 d1 make columns 0 and 1.
          (local.set $e (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b)))
          (local.set $f (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d)))
          (v128.store (local.get $write) (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $e) (local.get $f)))
          (v128.store (local.tee $write (i32.add (local.get $write) (local.get $targetStep)))
            (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $e) (local.get $f)))
          ;; a2 b2 a3 b3 and c2 d2 c3 d3 make columns 2 and 3.
          (local.set $e (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b)))
          (local.set $f (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d)))
          (v128.store (local.tee $write (i32.add (local.get $write) (local.get $targetStep)))
            (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $e) (local.get $f)))
          (v128.store (i32.add (local.get $write) (local.get $targetStep))
            (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $e) (local.get $f)))
          (br_if $columnBlocks (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 4))) (local.get $wholeColumns))))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br $rowBlocks)))
    ;; What is left of each row: all of it for the last rows, the last columns for the others.
    (local.set $row (i32.const 0))
    (block $done
      (loop $restRows
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (local.set $column (select (i32.const 0) (local.get $wholeColumns) (i32.ge_u (local.get $row) (local.get $wholeRows))))
        (block $rowDone
          (loop $restColumns
            (br_if $rowDone (i32.ge_u (local.get $column) (local.get $columns)))
            (i32.store
              (i32.add (i32.add (local.get $target) (i32.mul (local.get $column) (local.get $targetStep))) (i32.shl (local.get $row) (i32.const 2)))
              (i32.load (i32.add (i32.add (local.get $source) (i32.mul (local.get $row) (local.get $sourceStep))) (i32.shl (local.get $column) (i32.const 2)))))
            (local.set $column (i32.add (local.get $column) (i32.const 1)))
            (br $restColumns)))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $restRows))))

  ;; Rounds $count float32 (a multiple of 8) at $at to float16, in place: results fill the first half. To nearest, ties to even.
  ;; At $tally it stores how many i32 lanes overflowed, underflowed and were NaN, as three i32.
  (func (export "narrowToHalf") (param $at i32) (param $count i32) (param $tally i32)
    (local $read i32) (local $end i32) (local $write i32) (local $first v128)
    (local $overflow v128) (local $underflow v128) (local $nan v128)
    (local $word v128) (local $magnitude v128) (local $half v128)
    (local.set $read (local.get $at))
    (local.set $write (local.get $at))
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $read) (local.get $end)))
        (local.set $word (v128.load (local.get $read)))
        (local.set $magnitude (v128.and (local.get $word) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
        ;; Normal in both: drop 13 bits, ties to even; a carry moves into the exponent as it should.
        (local.set $half
          (i32x4.shr_u
            (i32x4.add
              (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x37fff001 0x37fff001 0x37fff001 0x37fff001))
              (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (v128.const i32x4 1 1 1 1)))
            (i32.const 13)))
        ;; Four normal values, nearly always: their distances to both ends of the range have no sign bit.
        (if (i32.eqz
              (i32x4.bitmask
                (v128.or
                  (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))
                  (i32x4.sub (v128.const i32x4 0x477fe000 0x477fe000 0x477fe000 0x477fe000) (local.get $magnitude)))))
          (then
            (local.set $half
              (v128.or (local.get $half) (v128.and (i32x4.shr_u (local.get $word) (i32.const 16)) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000))))
            (v128.store64_lane 0 (local.get $write) (i16x8.narrow_i32x4_u (local.get $half) (local.get $half)))
            (local.set $read (i32.add (local.get $read) (i32.const 16)))
            (local.set $write (i32.add (local.get $write) (i32.const 8)))
            (br $next)))
        ;; Below 2^-14: added to 0.5, whose last bit is worth 2^-24, the sum is rounded to a count of half's smallest steps.
        (local.set $half
          (v128.bitselect
            (i32x4.sub
              (f32x4.add (local.get $magnitude) (v128.const f32x4 0.5 0.5 0.5 0.5))
              (v128.const i32x4 0x3f000000 0x3f000000 0x3f000000 0x3f000000))
            (local.get $half)
            (i32x4.lt_u (local.get $magnitude) (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))))
        ;; From 65520 on: infinity.
        (local.set $half (i32x4.min_u (local.get $half) (v128.const i32x4 0x7c00 0x7c00 0x7c00 0x7c00)))
        ;; NaN stays NaN: made quiet, with the upper bits of its payload.
        (local.set $half
          (v128.bitselect
            (v128.or
              (v128.const i32x4 0x7e00 0x7e00 0x7e00 0x7e00)
              (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (v128.const i32x4 0x3ff 0x3ff 0x3ff 0x3ff)))
            (local.get $half)
            (i32x4.gt_u (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000))))
        ;; A comparison gives -1 where it holds, so counts are subtracted.
        (local.set $nan
          (i32x4.sub (local.get $nan) (i32x4.gt_u (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000))))
        (local.set $overflow
          (i32x4.sub (local.get $overflow)
            (v128.and
              (i32x4.eq (local.get $half) (v128.const i32x4 0x7c00 0x7c00 0x7c00 0x7c00))
              (i32x4.ne (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000)))))
        (local.set $underflow
          (i32x4.sub (local.get $underflow)
            (v128.and
              (i32x4.eq (local.get $half) (v128.const i32x4 0 0 0 0))
              (i32x4.ne (local.get $magnitude) (v128.const i32x4 0 0 0 0)))))
        (local.set $half
          (v128.or (local.get $half) (v128.and (i32x4.shr_u (local.get $word) (i32.const 16)) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000))))
        ;; Four halves at each turn, two turns for a store of eight would save little.
        (v128.store64_lane 0 (local.get $write) (i16x8.narrow_i32x4_u (local.get $half) (local.get $half)))
        (local.set $read (i32.add (local.get $read) (i32.const 16)))
        (local.set $write (i32.add (local.get $write) (i32.const 8)))
        (br $next)))
    (i32.store (local.get $tally) (call $sumLanes (local.get $overflow)))
    (i32.store offset=4 (local.get $tally) (call $sumLanes (local.get $underflow)))
    (i32.store offset=8 (local.get $tally) (call $sumLanes (local.get $nan))))

  (func $sumLanes (param $lanes v128) (result i32)
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $lanes)) (i32x4.extract_lane 1 (local.get $lanes)))
      (i32.add (i32x4.extract_lane 2 (local.get $lanes)) (i32x4.extract_lane 3 (local.get $lanes))))))
