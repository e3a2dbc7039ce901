package reactor

import "time"

// bucket lets through so many units a second, and, of those that it has not let through
// before, those of its depth at once. It is one value: the moment at which it will be
// full again, on the caller's clock. The zero value is full.
type bucket time.Duration

// left is how many units may go now. depth is how long an empty bucket takes to fill.
func (b bucket) left(now, depth time.Duration, rate int64) int64 {
	return max(0, int64(depth-max(0, time.Duration(b)-now))*rate/int64(time.Second))
}

// take lets n units go. There need not be so many: the next ones then wait for longer.
func (b *bucket) take(now time.Duration, n, rate int64) {
	*b = max(*b, bucket(now)) + bucket(n*int64(time.Second)/rate)
}

// at is when n units may go, at most as many as the bucket holds.
func (b bucket) at(n int64, depth time.Duration, rate int64) time.Duration {
	return time.Duration(b) - depth + time.Duration((n*int64(time.Second)+rate-1)/rate)
}
