// Package linear tests that a completion queue is linearizable: whatever many
// goroutines do to it at once, what they saw could have been seen by one that
// did it all in some order, in which nothing comes before what had returned
// when it was called.
//
// Short random histories are recorded on a real queue, and the checker of
// github.com/anishathalye/porcupine looks for such an order. A model says what
// a queue is to one goroutine. That it and the checker can tell is shown by
// histories written by hand that no queue has, and by broken queues.
//
// The run is short with -short, and most of a minute without.
//
// # Reading order
//
// model_test.go, history_test.go, broken_test.go.
package linear
