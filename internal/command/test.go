package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/transcript"
)

func newTest(a *app) *cobra.Command {
	var isolation string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "test FILE.wasm TRANSCRIPT...",
		Short: "Run a plugin against transcripts, without a socket",
		Long: "Run a plugin against transcripts, without a socket and on a clock that the transcript turns: each\n" +
			"whole, split at every offset, and byte by byte; one of several connections also on two event loops,\n" +
			"which with isolation loop have an instance, and so a factory, each. A transcript is lines such as\n\n" +
			"  config {\"delimiter\": \"\\n\"}\n" +
			"  assets pages            # a folder beside the transcript\n" +
			"  send \"hello\\n\"\n" +
			"  expect \"hello\\n\"\n" +
			"  wait 5s\n" +
			"  bob: send hex 00 ff     # another connection\n" +
			"  db: accept tcp://127.0.0.1:5432    # the other end of one that the plugin has made\n" +
			"  tls                     # or: tls server\n" +
			"  reload\n" +
			"  close\n" +
			"  expect close            # or: nothing, reset, metric NAME VALUE",
		Args: func(_ *cobra.Command, args []string) error {
			names := []string{"FILE.wasm", "TRANSCRIPT"}
			if len(args) < len(names) {
				return fmt.Errorf("found no %s", names[len(args)])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p := transcript.Plugin{Config: config.DefaultPlugin(), Compiler: a.compiler}
			p.Config.Module, p.Config.Isolation = args[0], config.Isolation(isolation)
			var log tail // of the run that is under way
			if verbose {
				p.Logger = a.logger(config.Log{Level: "debug"})
			} else {
				p.Logger = (&app{stderr: &log}).logger(config.Log{Level: "info"})
				p.Before = func() { log = tail{} }
			}
			return a.testFiles(cmd.Context(), p, args[1:], &log)
		},
	}
	cmd.Flags().StringVar(&isolation, "isolation", "loop", "`ISOLATION` of the plugin: connection, loop or shared")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show all log lines, not only those of a run that failed")
	return cmd
}

// testFiles runs a plugin against transcripts, and shows what became of each. log has the
// last lines of the run that is under way; they are shown where that fails.
func (a *app) testFiles(ctx context.Context, p transcript.Plugin, files []string, log *tail) error {
	var faults []error
	failed := false
	for _, file := range files {
		runs, err := testFile(ctx, p, file, log)
		var f *transcript.Failure
		switch {
		case errors.As(err, &f):
			fmt.Fprintln(a.stdout, "FAIL", f) // its lines stand below one another
			if err := log.show(a.stderr); err != nil {
				return err
			}
			failed = true
		case err != nil:
			faults = append(faults, err)
			if err := log.show(a.stderr); err != nil { // what a start said before it failed
				return err
			}
		default:
			fmt.Fprintf(a.stdout, "ok %s: %d runs\n", file, runs)
		}
	}
	if failed && len(faults) == 0 {
		return errSaid
	}
	return errors.Join(faults...)
}

// testFile runs a plugin against the transcript in a file, and tells how many runs that
// took. Where one fails the error is a *transcript.Failure.
func testFile(ctx context.Context, p transcript.Plugin, file string, log *tail) (runs int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	*log = tail{}
	t, err := transcript.Parse(file, string(text))
	if err != nil {
		return 0, err
	}
	return transcript.Run(ctx, p, t)
}

// tail keeps the last of what is written to it. One goroutine at a time.
type tail struct {
	text []byte
	cut  bool // there was more before
}

const tailBytes = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if more := len(t.text) - tailBytes; more > 0 {
		t.text, t.cut = append(t.text[:0], t.text[more:]...), true
	}
	return len(b), nil
}

// show writes what was kept, in whole lines.
func (t *tail) show(w io.Writer) error {
	text := t.text
	if t.cut {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	_, err := w.Write(text)
	return err
}
