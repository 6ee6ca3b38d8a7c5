package backoff

import (
	"testing"
	"time"
)

func TestDelayWithoutJitter(t *testing.T) {
	c := Config{BaseDelay: time.Second, Multiplier: 1.6, MaxDelay: 5 * time.Second}
	for retries, want := range []time.Duration{
		1000 * time.Millisecond, 1600 * time.Millisecond, 2560 * time.Millisecond, 4096 * time.Millisecond,
		5 * time.Second, 5 * time.Second,
	} {
		if got := c.Delay(retries); got.Round(time.Microsecond) != want {
			t.Errorf("Delay(%d) = %v, want %v", retries, got, want)
		}
	}
	if got := c.Delay(1 << 40); got != 5*time.Second {
		t.Errorf("Delay(1<<40) = %v, want 5s", got)
	}
}

func TestDefaultDelay(t *testing.T) {
	var c Config
	if got := c.Delay(0); got != time.Second {
		t.Errorf("the first delay is %v, want 1s without jitter", got)
	}
	var low, high bool
	for range 1000 {
		got := c.Delay(1)
		if got < 1280*time.Millisecond || got > 1920*time.Millisecond {
			t.Fatalf("the second delay is %v, want 1.6s give or take 20%%", got)
		}
		low, high = low || got < 1400*time.Millisecond, high || got > 1800*time.Millisecond
		if got := c.Delay(100); got < 96*time.Second || got > 144*time.Second {
			t.Fatalf("a late delay is %v, want 120s give or take 20%%", got)
		}
	}
	if !low || !high {
		t.Error("the jitter does not reach both sides")
	}
}

func TestConstantDelay(t *testing.T) {
	c := Config{BaseDelay: time.Second, Multiplier: 1}
	if got := c.Delay(1 << 40); got != time.Second {
		t.Errorf("Delay = %v, want 1s", got)
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		cfg Config
		ok  bool
	}{
		{Config{}, true},
		{Config{BaseDelay: time.Millisecond}, true},
		{Config{BaseDelay: -1}, false},
		{Config{Multiplier: 0.9}, false},
		{Config{Jitter: 1}, false},
		{Config{Jitter: -0.1}, false},
		{Config{MaxDelay: -1}, false},
	} {
		if err := tc.cfg.Validate(); (err == nil) != tc.ok {
			t.Errorf("%+v: Validate() = %v, want ok %v", tc.cfg, err, tc.ok)
		}
	}
}
