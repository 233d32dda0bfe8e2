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
  ;; At $tally, 48 bytes, it leaves how many values overflowed, underflowed and were NaN, as three i32.
  (func (export "narrowToHalf") (param $at i32) (param $count i32) (param $tally i32)
    (local $end i32) (local $write i32) (local $first v128) (local $second v128) (local $magnitude v128) (local $magnitude2 v128)
    (v128.store (local.get $tally) (v128.const i32x4 0 0 0 0))
    (v128.store offset=16 (local.get $tally) (v128.const i32x4 0 0 0 0))
    (v128.store offset=32 (local.get $tally) (v128.const i32x4 0 0 0 0))
    (local.set $write (local.get $at))
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (loop $next
        (local.set $first (v128.load (local.get $at)))
        (local.set $second (v128.load offset=16 (local.get $at)))
        (local.set $magnitude (v128.and (local.get $first) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
        (local.set $magnitude2 (v128.and (local.get $second) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
        ;; Eight values that are normal in both, nearly always: their distances to both ends of the range have no sign bit.
        (if (i32.eqz
              (i32x4.bitmask
                (v128.or
                  (v128.or
                    (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))
                    (i32x4.sub (v128.const i32x4 0x477fe000 0x477fe000 0x477fe000 0x477fe000) (local.get $magnitude)))
                  (v128.or
                    (i32x4.sub (local.get $magnitude2) (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))
                    (i32x4.sub (v128.const i32x4 0x477fe000 0x477fe000 0x477fe000 0x477fe000) (local.get $magnitude2))))))
          (then
            (v128.store (local.get $write)
              (v128.or
                ;; As $normalHalf; a call for each would take as long as the work.
                (i16x8.narrow_i32x4_u
                  (i32x4.shr_u
                    (i32x4.add
                      (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x37fff001 0x37fff001 0x37fff001 0x37fff001))
                      (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (v128.const i32x4 1 1 1 1)))
                    (i32.const 13))
                  (i32x4.shr_u
                    (i32x4.add
                      (i32x4.sub (local.get $magnitude2) (v128.const i32x4 0x37fff001 0x37fff001 0x37fff001 0x37fff001))
                      (v128.and (i32x4.shr_u (local.get $magnitude2) (i32.const 13)) (v128.const i32x4 1 1 1 1)))
                    (i32.const 13)))
                ;; Words are so far from zero that narrowing saturates them: to 0x8000 where there is a sign, to 0x7fff where not.
                (v128.and
                  (i16x8.narrow_i32x4_s (local.get $first) (local.get $second))
                  (v128.const i16x8 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000 0x8000)))))
          (else
            (v128.store64_lane 0 (local.get $write) (call $anyHalf (local.get $first) (local.get $tally)))
            (v128.store64_lane offset=8 0 (local.get $write) (call $anyHalf (local.get $second) (local.get $tally)))))
        (local.set $write (i32.add (local.get $write) (i32.const 16)))
        (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end)))))
    (i32.store (local.get $tally) (call $sumLanes (v128.load (local.get $tally))))
    (i32.store offset=4 (local.get $tally) (call $sumLanes (v128.load offset=16 (local.get $tally))))
    (i32.store offset=8 (local.get $tally) (call $sumLanes (v128.load offset=32 (local.get $tally)))))

  ;; Four magnitudes that are normal in both: drops 13 bits, ties to even; a carry moves into the exponent as it should.
  (func $normalHalf (param $magnitude v128) (result v128)
    (i32x4.shr_u
      (i32x4.add
        (i32x4.sub (local.get $magnitude) (v128.const i32x4 0x37fff001 0x37fff001 0x37fff001 0x37fff001))
        (v128.and (i32x4.shr_u (local.get $magnitude) (i32.const 13)) (v128.const i32x4 1 1 1 1)))
      (i32.const 13)))

  ;; Four values of any kind, to four halves in the lower 64 bits; adds what is lost to the lanes at $tally.
  (func $anyHalf (param $word v128) (param $tally i32) (result v128)
    (local $magnitude v128) (local $half v128)
    (local.set $magnitude (v128.and (local.get $word) (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff)))
    ;; Below 2^-14: added to 0.5, whose last bit is worth 2^-24, the sum is rounded to a count of half's smallest steps.
    (local.set $half
      (v128.bitselect
        (i32x4.sub
          (f32x4.add (local.get $magnitude) (v128.const f32x4 0.5 0.5 0.5 0.5))
          (v128.const i32x4 0x3f000000 0x3f000000 0x3f000000 0x3f000000))
        (call $normalHalf (local.get $magnitude))
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
    (v128.store (local.get $tally)
      (i32x4.sub (v128.load (local.get $tally))
        (v128.and
          (i32x4.eq (local.get $half) (v128.const i32x4 0x7c00 0x7c00 0x7c00 0x7c00))
          (i32x4.ne (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000)))))
    (v128.store offset=16 (local.get $tally)
      (i32x4.sub (v128.load offset=16 (local.get $tally))
        (v128.and
          (i32x4.eq (local.get $half) (v128.const i32x4 0 0 0 0))
          (i32x4.ne (local.get $magnitude) (v128.const i32x4 0 0 0 0)))))
    (v128.store offset=32 (local.get $tally)
      (i32x4.sub (v128.load offset=32 (local.get $tally))
        (i32x4.gt_u (local.get $magnitude) (v128.const i32x4 0x7f800000 0x7f800000 0x7f800000 0x7f800000))))
    (local.set $half
      (v128.or (local.get $half) (v128.and (i32x4.shr_u (local.get $word) (i32.const 16)) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000))))
    (i16x8.narrow_i32x4_u (local.get $half) (local.get $half)))

  (func $sumLanes (param $lanes v128) (result i32)
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $lanes)) (i32x4.extract_lane 1 (local.get $lanes)))
      (i32.add (i32x4.extract_lane 2 (local.get $lanes)) (i32x4.extract_lane 3 (local.get $lanes))))))
