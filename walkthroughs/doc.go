// Package walkthroughs holds runnable tours through the layers, each in a
// folder of its own.
//
// A tour is a function Run that does one thing with the library while a
// recorder listens at every layer. Its main runs it over loopback TCP on the
// real clock and prints what happened; its test runs it in memory, on the
// virtual clock of a testing/synctest bubble, and compares the golden.
//
//	unary   one unary call, from the stub to the wire and back
package walkthroughs
