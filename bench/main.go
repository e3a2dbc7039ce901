// Bench compares echo servers: wirehost with WASM guests, its reactor with a
// native protocol, Go's package net, a bare epoll loop, gnet and Twisted.
//
// It starts each server as a process of its own on one processor, drives it
// with redis-benchmark on another, and prints the server's CPU time per request,
// requests per second, latencies and memory, as medians of interleaved rounds,
// with ratios against package net in the same round. Linux only; README.md says
// how to run it and has the results.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command: bench [flags], bench table, or one of the parts that bench
// starts as processes of their own.
func run(args []string, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) > 0 && args[0] == "serve":
		err = serve(args[1:], stdout)
	case len(args) > 0 && args[0] == "load":
		err = load(args[1:], stdout)
	case len(args) > 0 && args[0] == "table":
		err = table(args[1:], stdout)
	default:
		err = measure(args, stdout, stderr)
	}
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	default:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
}

// options are the flags of a measurement.
type options struct {
	rounds               int
	seconds              float64 // of each redis-benchmark run, roughly
	patience             time.Duration
	cases, servers       []string
	json                 bool
	serverCPU, clientCPU int
	guests               string // folder of NAME_linereceiver.wasm
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.rounds, "rounds", 5, "`number` of interleaved rounds; the medians are printed")
	fs.Float64Var(&o.seconds, "duration", 2, "rough length of each run, in `seconds`")
	fs.DurationVar(&o.patience, "patience", 20*time.Second,
		"how long to wait, for each run, until other programs leave the processors alone")
	cases := fs.String("cases", "", "comma separated `names`; empty = all: "+strings.Join(caseNames(), " "))
	servers := fs.String("servers", "", "comma separated `names` or prefixes of names; empty = all: "+
		strings.Join(serverNames(), " "))
	format := fs.String("o", "table", "table or json")
	fs.IntVar(&o.serverCPU, "server-cpu", 0, "processor `number` of the servers")
	fs.IntVar(&o.clientCPU, "client-cpu", 1, "processor `number` of the clients")
	fs.StringVar(&o.guests, "guests", "", "`folder` of the SDKs' guests, for the case lines")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("found argument %q, wanted flags only", fs.Arg(0))
	}
	if *format != "table" && *format != "json" {
		return o, fmt.Errorf("-o: found %q, wanted table or json", *format)
	}
	o.json = *format == "json"
	o.cases, o.servers = split(*cases), split(*servers)
	for _, name := range o.cases {
		if !contains(caseNames(), name) {
			return o, fmt.Errorf("--cases: found %q, wanted some of %s", name, strings.Join(caseNames(), " "))
		}
	}
	for _, name := range o.servers {
		if !matchesAny(serverNames(), name) {
			return o, fmt.Errorf("--servers: found %q, wanted some of %s", name, strings.Join(serverNames(), " "))
		}
	}
	if o.rounds < 1 || o.seconds <= 0 || o.serverCPU == o.clientCPU {
		return o,
			fmt.Errorf("found %d rounds of %g s on processors %d and %d, wanted 1 or more, above 0, two processors",
				o.rounds, o.seconds, o.serverCPU, o.clientCPU)
	}
	return o, nil
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func matchesAny(list []string, prefix string) bool {
	for _, x := range list {
		if strings.HasPrefix(x, prefix) {
			return true
		}
	}
	return false
}

// measure runs the chosen cases on the chosen servers and prints the results.
func measure(args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	// Processes are started from this thread, and die with it.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	began := time.Now()
	// An interrupted measurement prints what it has.
	if err := b.all(); err != nil {
		if len(b.samples) == 0 {
			return err
		}
		fmt.Fprintln(stderr, "bench: not all was measured:", err)
	}
	r := b.report(began)
	if o.json {
		return r.writeJSON(stdout)
	}
	return r.writeTable(stdout)
}
