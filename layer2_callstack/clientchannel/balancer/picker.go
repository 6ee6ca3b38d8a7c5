package balancer

import "github.com/strata-grpc/strata/layer1_transport/metadata"

// A Picker chooses the subchannel of a call. Pick may be called at the same
// time from any goroutine and must not block.
type Picker interface {
	Pick(info PickInfo) PickResult
}

// PickInfo is what a picker may know of a call. It is valid during Pick.
type PickInfo struct {
	// Path is "/service/method".
	Path string
	// Metadata is what the call sends first. It is read-only.
	Metadata *metadata.List
}

// A PickResult is one of the four ends of a pick; see the functions that make
// them.
type PickResult struct {
	Kind       PickKind
	Subchannel Subchannel
	Err        error
}

// A PickKind says how a pick ended.
type PickKind uint8

// The ends of a pick.
const (
	// PickQueue: no decision is possible; wait for the next picker.
	PickQueue PickKind = iota
	// PickComplete: the call goes to Subchannel.
	PickComplete
	// PickFail: the call fails with Err, unless it waits for ready.
	PickFail
	// PickDrop: the call fails with Err, whether it waits for ready or not.
	PickDrop
)

// Complete sends the call to sc. If sc has lost its connection meanwhile the
// call waits for the next picker.
func Complete(sc Subchannel) PickResult { return PickResult{Kind: PickComplete, Subchannel: sc} }

// Queue lets the call wait for the next picker.
func Queue() PickResult { return PickResult{Kind: PickQueue} }

// Fail ends the call with err, unless it waits for ready. Where err is itself a
// status (has a method GRPCStatus) that is the call's; else it is UNAVAILABLE.
func Fail(err error) PickResult { return PickResult{Kind: PickFail, Err: err} }

// Drop ends the call with err even if it waits for ready.
func Drop(err error) PickResult { return PickResult{Kind: PickDrop, Err: err} }

// Fixed returns a picker that always answers r.
func Fixed(r PickResult) Picker { return &fixed{r} }

// FixedResult returns what p always answers, nil if that is not known: a channel
// does not ask a picker of [Fixed] for each call.
func FixedResult(p Picker) *PickResult {
	if f, ok := p.(*fixed); ok {
		return &f.result
	}
	return nil
}

type fixed struct{ result PickResult }

func (f *fixed) Pick(PickInfo) PickResult { return f.result }
