package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/internal/lines"
)

// Times of dev. A save is taken for complete when nothing has happened for
// saveQuiet: editors write, rename and set dates within milliseconds.
const (
	saveQuiet    = 100 * time.Millisecond
	savePatience = 2 * time.Second // at most, where something happens all the time
	buildTime    = 2 * time.Minute
	devDrain     = 500 * time.Millisecond // for connections to finish at the end
)

func newDev(a *app) *cobra.Command {
	d := &dev{app: a}
	var build string
	cmd := &cobra.Command{
		Use:   "dev DIR",
		Short: "Build and serve a plugin, again at each save",
		Long: "Build the project in DIR, serve it, and do both again at each save: connections stay open where the\n" +
			"plugin saves their state. A build that fails shows why, and the last good version runs on.\n\n" +
			"What is served is that of --config, or of DIR/" + projectConfig + ", or else the one .wasm in DIR.",
		Args: arguments("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			d.build = builder{dir: args[0], words: strings.Fields(build), time: d.build.time}
			if len(d.build.words) == 0 {
				return &usageError{errors.New("found no command in --build")}
			}
			if d.build.time <= 0 {
				return &usageError{fmt.Errorf("--build-timeout: found %s, wanted a time above 0", d.build.time)}
			}
			if _, err := endpointOf(d.listen); err != nil {
				return &usageError{fmt.Errorf("--listen: %w", err)}
			}
			signals, stop := a.await(false) // SIGHUP: the terminal has gone
			defer stop()
			return d.run(signals)
		},
	}
	cmd.Flags().StringVar(&build, "build", "make -s", "`COMMAND` that builds in DIR: words, without a shell")
	cmd.Flags().DurationVar(&d.build.time, "build-timeout", buildTime, "end a build that takes longer than `TIME`")
	cmd.Flags().BoolVar(&d.trace, "trace-abi", false, "log every callback and host call, with what connections carry")
	cmd.Flags().StringVar(&d.listen, "listen", "tcp://"+projectAddress,
		"where DIR has no "+projectConfig+", listen on `ENDPOINT`")
	return cmd
}

// dev builds and serves a project. The run goroutine owns it, but for what is
// the job's while one is under way.
type dev struct {
	*app
	build  builder
	listen string
	trace  bool
	files  *tree
	job    *job // nil = none is under way

	building bool               // the job's build has not ended
	ended    chan chan struct{} // a job says that its build has ended; obey closes what it sends

	served // the job's
}

// job is a build, and the serving of what it built.
type job struct {
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it has ended
}

// errNewer ends a job: what it works on was saved again.
var errNewer = errors.New("it was saved again")

// run builds and serves until a signal comes. Its error means that it could not
// begin, or errForced.
func (d *dev) run(signals <-chan os.Signal) error {
	dir := d.build.dir
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s: found a file, wanted a folder", dir)
	}
	var err error
	if d.files, err = newTree(dir); err != nil {
		return err
	}
	defer d.files.close()
	d.ended = make(chan chan struct{})
	d.begin()
	d.obey(signals)
	if d.job != nil {
		d.job.cancel(context.Canceled)
		<-d.job.done
	}
	return d.end(signals)
}

// obey starts a job at each save, until a signal comes.
func (d *dev) obey(signals <-chan os.Signal) {
	quiet := time.NewTimer(saveQuiet)
	quiet.Stop()
	var first time.Time // event since the last look
	again := false
	for {
		select {
		case <-signals:
			return
		case e := <-d.files.watcher.Events:
			if !d.files.concerns(e) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(max(0, min(saveQuiet, savePatience-time.Since(first))))
		case err := <-d.files.watcher.Errors: // events may be missing
			d.say("watching %s: %v", d.build.dir, err)
			quiet.Reset(saveQuiet)
		case <-quiet.C:
			first = time.Time{}
			switch {
			case !d.saved():
			case d.job == nil:
				d.begin()
			default:
				again = true
				d.job.cancel(errNewer)
			}
		case adopted := <-d.ended:
			d.adopt()
			close(adopted)
		case <-d.done():
			d.job = nil
			if d.building { // it was cut short
				d.adopt()
			}
			if again {
				again = false
				d.begin()
			}
		}
	}
}

// saved tells whether a file was saved, and says which ones.
func (d *dev) saved() bool {
	changed, err := d.files.look(d.building)
	if err != nil {
		d.say("%v", err)
	}
	if len(changed) == 0 {
		return false
	}
	d.say("changed: %s", strings.Join(changed, " "))
	return true
}

// adopt takes what the build has written for its own.
func (d *dev) adopt() {
	d.building = false
	if err := d.files.adopt(); err != nil {
		d.say("%v", err)
	}
}

// done is closed when the job has ended; nil where there is none.
func (d *dev) done() <-chan struct{} {
	if d.job == nil {
		return nil
	}
	return d.job.done
}

// begin starts a job.
func (d *dev) begin() {
	ctx, cancel := context.WithCancelCause(context.Background())
	j := &job{cancel: cancel, done: make(chan struct{})}
	d.job, d.building = j, true
	go func() {
		defer close(j.done)
		defer cancel(nil)
		d.work(ctx)
	}()
}

// work is the job: build, and serve what was built.
func (d *dev) work(ctx context.Context) {
	d.say("building: %s", d.build)
	began := time.Now()
	output, err := d.build.run(ctx)
	d.built(ctx) // before anything is said: what is saved from then on counts
	if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), errNewer) {
			d.say("build ended: %v", errNewer)
		}
		return
	}
	d.show(output)
	if err != nil {
		for _, missing := range d.missing() {
			d.say("missing: %s", missing)
		}
		d.fail("build failed: %v", err)
		return
	}
	d.say("built in %s", time.Since(began).Round(10*time.Millisecond))
	if err := d.take(ctx); err != nil && ctx.Err() == nil {
		for _, line := range lines.Of(err) {
			d.say("%s", line)
		}
		d.fail("not served")
	}
}

// built waits until obey has taken what the build wrote for its own, or ctx is done.
func (d *dev) built(ctx context.Context) {
	adopted := make(chan struct{})
	select {
	case d.ended <- adopted:
		<-adopted
	case <-ctx.Done():
	}
}

// missing says what tools are not there for the language that the project looks to
// be in.
func (d *dev) missing() []string {
	for _, l := range languages() {
		if _, err := os.Stat(d.inDir(l.main)); err == nil {
			return l.missing(exec.LookPath, outputOf)
		}
	}
	return nil
}

// fail says that a job failed, and what that means for those who are connected.
func (d *dev) fail(format string, args ...any) {
	what := "nothing runs yet; save a file to try again"
	if running := d.running(); running != "" {
		what = running + " runs on"
	}
	d.say(format+"; "+what, args...)
}

// say prints a line.
func (a *app) say(format string, args ...any) {
	// to a terminal that has gone, there is nothing to say
	fmt.Fprintln(a.stdout, lines.Visible(fmt.Sprintf(format, args...)))
}

// show prints what a build has printed.
func (a *app) show(output string) {
	for line := range strings.Lines(output) {
		cells := strings.Split(strings.TrimRight(line, "\r\n"), "\t") // compilers point with them
		for n := range cells {
			cells[n] = lines.Visible(cells[n])
		}
		fmt.Fprintln(a.stdout, "  "+strings.Join(cells, "\t"))
	}
}

// end stops what is served.
func (d *dev) end(signals <-chan os.Signal) error {
	if d.host == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), devDrain)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.host.Shutdown(ctx) }()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	case <-signals:
		return errForced
	}
}

// inDir is a path below DIR.
func (d *dev) inDir(name string) string { return filepath.Join(d.build.dir, name) }
