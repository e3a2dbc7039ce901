package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/reactor"
)

// healthTimeout is how long a probe waits where it does not say.
const healthTimeout = time.Second

func newHealth(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running host whether it is well, for probes: exit code 0 or 1",
		Long: "Ask a running host whether it is well: that it answers, or with --ready, that it is\n" +
			"ready for connections. The exit code is 0 if so, or 1, with the reason in one line.\n" +
			"The monitor is asked, where monitor.listen names one, else the administration.",
		Example: "  wirehost health --config /etc/wirehost.yaml --ready",
		Args:    arguments(),
	}
	endpoint := adminFlag(cmd)
	ready := cmd.Flags().Bool("ready", false, "ask whether it is ready for connections")
	timeout := cmd.Flags().Duration("timeout", healthTimeout, "how long to wait for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return &usageError{fmt.Errorf("--timeout: found %v, wanted a time such as 1s", *timeout)}
		}
		at, err := a.probed(*endpoint)
		if err != nil {
			return err
		}
		c, _, err := a.quietClient(at) // a probe's answer is its exit code
		if err != nil {
			return err
		}
		path := "/healthz"
		if *ready {
			path = "/readyz"
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		var said struct{ Status string }
		switch err := c.ask(ctx, http.MethodGet, path, nil, &said); {
		case errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("no answer within %v", *timeout)
		case err != nil && *ready:
			return fmt.Errorf("not ready: %w", err)
		case err != nil:
			return err
		}
		_, err = fmt.Fprintln(a.stdout, said.Status)
		return err
	}
	return cmd
}

// probed is the endpoint to ask: the one that is given, or the configured monitor's; "" is the
// administration's.
func (a *app) probed(endpoint string) (string, error) {
	if endpoint != "" {
		return endpoint, nil
	}
	cfg, err := a.load(context.Background())
	if err != nil {
		return "", errors.Join(err, errUnread)
	}
	e, err := reactor.ParseEndpoint(cfg.Monitor.Listen)
	if err != nil || e.Scheme == "tcp" && e.Port == 0 { // none, or on a port that nobody knows
		return "", nil
	}
	if e.Scheme == "unix" {
		return cfg.Monitor.Listen, nil
	}
	return "tcp://" + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), nil
}
