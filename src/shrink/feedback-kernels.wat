;; The inner loops of `feedback.ts`: rows of what flows in times some channels of a kernel. Assembled into feedback-kernels.ts by
;; scripts/build-kernels.mjs.
;;
;; Addresses are bytes, counts elements. Rows are float32, [depth][count]: what all inputs have at one place. Values are float32, factors
;; float64, [channels][depth]; sums float64, [channels][count]. Sums have the bits that additions one after the other give, four of them side by side
;; where it says so.
(module
  (import "js" "memory" (memory 1))

  ;; Chooses a code for each value, place after place: the one nearest to value + rows . left / energy, where left is what those before it have left of the
  ;; channel's sums. Leaves codes, with the code of zero added, as bytes at $codes, what each value loses at $lost, and the sums in the end at $left, which begins
  ;; with zeros. A channel's scales, float32, and its codes for zero, bytes, where $zeros is not 0, begin $perChannel elements behind those of the channel
  ;; before it; place t has the one that $places, i32, says.
  (func (export "feedback")
    (param $channels i32) (param $depth i32) (param $count i32) (param $rows i32) (param $values i32) (param $energies i32)
    (param $steps i32) (param $zeros i32) (param $perChannel i32) (param $places i32) (param $low f64) (param $high f64)
    (param $codes i32) (param $lost i32) (param $left i32)
    (local $t i32) (local $c i32) (local $at i32) (local $group i32) (local $row i32) (local $previous i32) (local $own i32)
    (local $rowBytes i32) (local $leftBytes i32) (local $factor f64) (local $product f64) (local $energy f64) (local $weight f64) (local $step f64) (local $zero f64) (local $code f64)
    (local.set $rowBytes (i32.shl (local.get $count) (i32.const 2)))
    (local.set $leftBytes (i32.shl (local.get $count) (i32.const 3)))
    (local.set $row (local.get $rows))
    (local.set $previous (local.get $rows))
    (loop $nextPlace
      (local.set $energy (f64.load (i32.add (local.get $energies) (i32.shl (local.get $t) (i32.const 3)))))
      (local.set $group (i32.load (i32.add (local.get $places) (i32.shl (local.get $t) (i32.const 2)))))
      (local.set $own (local.get $left))
      (local.set $at (local.get $t))
      (local.set $c (i32.const 0))
      (loop $nextChannel
        ;; What the place before this one left is added on the way.
        (local.set $factor (f64.const 0))
        (if (local.get $t) (then
          (local.set $factor (f64.load (i32.add (local.get $lost) (i32.shl (i32.sub (local.get $at) (i32.const 1)) (i32.const 3)))))))
        (local.set $product (call $addAndMultiply (local.get $own) (local.get $previous) (local.get $factor) (local.get $row) (local.get $count)))
        (local.set $weight (f64.promote_f32 (f32.load (i32.add (local.get $values) (i32.shl (local.get $at) (i32.const 2))))))
        (local.set $step (f64.promote_f32 (f32.load (i32.add (local.get $steps) (i32.shl (local.get $group) (i32.const 2))))))
        (if (local.get $zeros) (then (local.set $zero (f64.convert_i32_u (i32.load8_u (i32.add (local.get $zeros) (local.get $group)))))))
        (local.set $code (local.get $weight))
        (if (f64.gt (local.get $energy) (f64.const 0)) (then
          (local.set $code (f64.add (local.get $weight) (f64.div (local.get $product) (local.get $energy))))))
        (local.set $code (f64.min (f64.sub (local.get $high) (local.get $zero)) (f64.max (f64.sub (local.get $low) (local.get $zero))
          (f64.nearest (f64.div (local.get $code) (local.get $step))))))
        (i32.store8 (i32.add (local.get $codes) (local.get $at)) (i32.trunc_sat_f64_s (f64.add (local.get $code) (local.get $zero))))
        (f64.store (i32.add (local.get $lost) (i32.shl (local.get $at) (i32.const 3)))
          (f64.sub (local.get $weight) (f64.mul (local.get $code) (local.get $step))))
        (local.set $own (i32.add (local.get $own) (local.get $leftBytes)))
        (local.set $at (i32.add (local.get $at) (local.get $depth)))
        (local.set $group (i32.add (local.get $group) (local.get $perChannel)))
        (br_if $nextChannel (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 1))) (local.get $channels))))
      (local.set $previous (local.get $row))
      (local.set $row (i32.add (local.get $row) (local.get $rowBytes)))
      (br_if $nextPlace (i32.lt_u (local.tee $t (i32.add (local.get $t) (i32.const 1))) (local.get $depth))))
    ;; The last place's too.
    (local.set $own (local.get $left))
    (local.set $at (i32.sub (local.get $depth) (i32.const 1)))
    (local.set $c (i32.const 0))
    (loop $lastChannel
      (local.set $factor (f64.load (i32.add (local.get $lost) (i32.shl (local.get $at) (i32.const 3)))))
      (drop (call $addAndMultiply (local.get $own) (local.get $previous) (local.get $factor) (local.get $previous) (local.get $count)))
      (local.set $own (i32.add (local.get $own) (local.get $leftBytes)))
      (local.set $at (i32.add (local.get $at) (local.get $depth)))
      (br_if $lastChannel (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 1))) (local.get $channels)))))

  ;; Adds a row times a factor to sums; gives the products of the sums and another row, four side by side, what is left over with the first of them.
  (func $addAndMultiply (param $sums i32) (param $added i32) (param $factor f64) (param $row i32) (param $count i32) (result f64)
    (local $end i32) (local $factors v128) (local $a v128) (local $b v128) (local $x v128) (local $y v128) (local $first f64)
    (local.set $factors (f64x2.splat (local.get $factor)))
    (local.set $end (i32.add (local.get $sums) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 3))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $sums) (local.get $end)))
        (local.set $a (f64x2.add (v128.load (local.get $sums))
          (f64x2.mul (local.get $factors) (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $added))))))
        (local.set $b (f64x2.add (v128.load offset=16 (local.get $sums))
          (f64x2.mul (local.get $factors) (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $added))))))
        (v128.store (local.get $sums) (local.get $a))
        (v128.store offset=16 (local.get $sums) (local.get $b))
        (local.set $x (f64x2.add (local.get $x) (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $row))) (local.get $a))))
        (local.set $y (f64x2.add (local.get $y) (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $row))) (local.get $b))))
        (local.set $sums (i32.add (local.get $sums) (i32.const 32)))
        (local.set $added (i32.add (local.get $added) (i32.const 16)))
        (local.set $row (i32.add (local.get $row) (i32.const 16)))
        (br $next)))
    (local.set $first (f64x2.extract_lane 0 (local.get $x)))
    (local.set $end (i32.add (local.get $end) (i32.shl (i32.and (local.get $count) (i32.const 3)) (i32.const 3))))
    (block $tailDone
      (loop $tail
        (br_if $tailDone (i32.ge_u (local.get $sums) (local.get $end)))
        (f64.store (local.get $sums) (f64.add (f64.load (local.get $sums)) (f64.mul (local.get $factor) (f64.promote_f32 (f32.load (local.get $added))))))
        (local.set $first (f64.add (local.get $first) (f64.mul (f64.promote_f32 (f32.load (local.get $row))) (f64.load (local.get $sums)))))
        (local.set $sums (i32.add (local.get $sums) (i32.const 8)))
        (local.set $added (i32.add (local.get $added) (i32.const 4)))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br $tail)))
    (f64.add (f64.add (f64.add (local.get $first) (f64x2.extract_lane 1 (local.get $x)))
      (f64x2.extract_lane 0 (local.get $y))) (f64x2.extract_lane 1 (local.get $y))))

  ;; What each value loses when it is rounded to the nearest code; parameters as those of feedback.
  (func (export "rounded")
    (param $channels i32) (param $depth i32) (param $values i32)
    (param $steps i32) (param $zeros i32) (param $perChannel i32) (param $places i32) (param $low f64) (param $high f64) (param $lost i32)
    (local $c i32) (local $t i32) (local $group i32) (local $first i32) (local $weight f64) (local $step f64) (local $zero f64)
    (loop $nextChannel
      (local.set $t (i32.const 0))
      (loop $nextPlace
        (local.set $group (i32.add (local.get $first) (i32.load (i32.add (local.get $places) (i32.shl (local.get $t) (i32.const 2))))))
        (local.set $weight (f64.promote_f32 (f32.load (local.get $values))))
        (local.set $step (f64.promote_f32 (f32.load (i32.add (local.get $steps) (i32.shl (local.get $group) (i32.const 2))))))
        (if (local.get $zeros) (then (local.set $zero (f64.convert_i32_u (i32.load8_u (i32.add (local.get $zeros) (local.get $group)))))))
        (f64.store (local.get $lost) (f64.sub (local.get $weight) (f64.mul (local.get $step)
          (f64.min (f64.sub (local.get $high) (local.get $zero)) (f64.max (f64.sub (local.get $low) (local.get $zero))
            (f64.nearest (f64.div (local.get $weight) (local.get $step))))))))
        (local.set $values (i32.add (local.get $values) (i32.const 4)))
        (local.set $lost (i32.add (local.get $lost) (i32.const 8)))
        (br_if $nextPlace (i32.lt_u (local.tee $t (i32.add (local.get $t) (i32.const 1))) (local.get $depth))))
      (local.set $first (i32.add (local.get $first) (local.get $perChannel)))
      (br_if $nextChannel (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 1))) (local.get $channels)))))

  ;; Adds to sums, which begin with zeros, each place's row times each channel's factor there, place after place.
  (func (export "along") (param $channels i32) (param $depth i32) (param $count i32) (param $rows i32) (param $factors i32) (param $sums i32)
    (local $t i32) (local $c i32) (local $row i32) (local $from i32) (local $own i32) (local $rowBytes i32)
    (local.set $rowBytes (i32.shl (local.get $count) (i32.const 2)))
    (local.set $row (local.get $rows))
    ;; Two places at a time, so that sums are read and written half as often.
    (block $pairsDone
      (loop $nextPair
        (br_if $pairsDone (i32.ge_u (i32.add (local.get $t) (i32.const 1)) (local.get $depth)))
        (local.set $own (local.get $sums))
        (local.set $from (i32.add (local.get $factors) (i32.shl (local.get $t) (i32.const 3))))
        (local.set $c (i32.const 0))
        (loop $nextChannel
          (call $addTwo (local.get $own) (local.get $row) (f64.load (local.get $from))
            (i32.add (local.get $row) (local.get $rowBytes)) (f64.load offset=8 (local.get $from)) (local.get $count))
          (local.set $own (i32.add (local.get $own) (i32.shl (local.get $count) (i32.const 3))))
          (local.set $from (i32.add (local.get $from) (i32.shl (local.get $depth) (i32.const 3))))
          (br_if $nextChannel (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 1))) (local.get $channels))))
        (local.set $row (i32.add (local.get $row) (i32.shl (local.get $rowBytes) (i32.const 1))))
        (local.set $t (i32.add (local.get $t) (i32.const 2)))
        (br $nextPair)))
    (if (i32.lt_u (local.get $t) (local.get $depth)) (then
      (local.set $own (local.get $sums))
      (local.set $from (i32.add (local.get $factors) (i32.shl (local.get $t) (i32.const 3))))
      (local.set $c (i32.const 0))
      (loop $lastChannel
        (call $addTwo (local.get $own) (local.get $row) (f64.load (local.get $from)) (local.get $row) (f64.const 0) (local.get $count))
        (local.set $own (i32.add (local.get $own) (i32.shl (local.get $count) (i32.const 3))))
        (local.set $from (i32.add (local.get $from) (i32.shl (local.get $depth) (i32.const 3))))
        (br_if $lastChannel (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 1))) (local.get $channels)))))))

  ;; Adds to sums a row times a factor, and then another.
  (func $addTwo (param $sums i32) (param $first i32) (param $factor f64) (param $second i32) (param $other f64) (param $count i32)
    (local $end i32) (local $f v128) (local $g v128)
    (local.set $f (f64x2.splat (local.get $factor)))
    (local.set $g (f64x2.splat (local.get $other)))
    (local.set $end (i32.add (local.get $sums) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 3))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $sums) (local.get $end)))
        (v128.store (local.get $sums)
          (f64x2.add
            (f64x2.add (v128.load (local.get $sums)) (f64x2.mul (local.get $f) (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $first)))))
            (f64x2.mul (local.get $g) (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $second))))))
        (v128.store offset=16 (local.get $sums)
          (f64x2.add
            (f64x2.add (v128.load offset=16 (local.get $sums)) (f64x2.mul (local.get $f) (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $first)))))
            (f64x2.mul (local.get $g) (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $second))))))
        (local.set $sums (i32.add (local.get $sums) (i32.const 32)))
        (local.set $first (i32.add (local.get $first) (i32.const 16)))
        (local.set $second (i32.add (local.get $second) (i32.const 16)))
        (br $next)))
    (local.set $end (i32.add (local.get $end) (i32.shl (i32.and (local.get $count) (i32.const 3)) (i32.const 3))))
    (block $tailDone
      (loop $tail
        (br_if $tailDone (i32.ge_u (local.get $sums) (local.get $end)))
        (f64.store (local.get $sums)
          (f64.add
            (f64.add (f64.load (local.get $sums)) (f64.mul (local.get $factor) (f64.promote_f32 (f32.load (local.get $first)))))
            (f64.mul (local.get $other) (f64.promote_f32 (f32.load (local.get $second))))))
        (local.set $sums (i32.add (local.get $sums) (i32.const 8)))
        (local.set $first (i32.add (local.get $first) (i32.const 4)))
        (local.set $second (i32.add (local.get $second) (i32.const 4)))
        (br $tail)))))
