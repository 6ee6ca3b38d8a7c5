package lifetime

import (
	"slices"
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A member notes what it is told, and leaves when it is cut.
type member struct {
	life *Life
	told []string
}

func (m *member) Drain() { m.told = append(m.told, "drain") }
func (m *member) Cut() {
	m.told = append(m.told, "cut")
	m.life.Leave(m)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestLife follows a life with two members from open to over.
func TestLife(t *testing.T) {
	l := New()
	q := cq.New(cq.Next, cq.Config{Debug: true})
	a, b := &member{life: l}, &member{life: l}
	if !l.Join(a) || !l.Join(b) || !l.AddJob() || l.Begun() || closed(l.Draining()) {
		t.Fatal("an open life is not open")
	}
	notify := func(tag string) {
		q.BeginOp(tag)
		l.Notify(q, tag)
	}
	notify("first")
	l.Drain(func() {
		if !l.Begun() || !closed(l.Draining()) || len(a.told) > 0 {
			t.Error("what comes first does not run between the beginning and the members")
		}
	})
	l.Drain(func() { t.Error("draining begins twice") })
	if l.Join(&member{}) || l.AddJob() {
		t.Error("a life that drains takes on something new")
	}
	notify("second")
	l.Members()[0].Cut()
	if ev := q.TryNext(); ev.Type != cq.QueueTimeout || closed(l.over) {
		t.Errorf("event = %v before the last member has left", ev)
	}
	l.Members()[0].Cut()
	l.Leave(a) // once more does nothing
	for _, m := range []*member{a, b} {
		if want := []string{"drain", "cut"}; !slices.Equal(m.told, want) {
			t.Errorf("a member was told %q, want %q", m.told, want)
		}
	}
	if !closed(l.over) {
		t.Error("the life is not over")
	}
	notify("late")
	for _, tag := range []string{"first", "second", "late"} {
		if ev := q.TryNext(); ev.Tag != tag || !ev.Success {
			t.Errorf("event = %v, want %q", ev, tag)
		}
	}
	l.JobDone()
	l.Wait()
}

// TestNotOverBeforeTheFirstStep: who asks while draining begins waits for it.
func TestNotOverBeforeTheFirstStep(t *testing.T) {
	l := New()
	l.Drain(func() {
		l.Drain(nil)
		if closed(l.over) {
			t.Error("the life was over before draining had begun")
		}
	})
	if !closed(l.over) {
		t.Error("a life without members is not over when it drains")
	}
}
