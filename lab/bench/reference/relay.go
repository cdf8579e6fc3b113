// A relay as it is usually written in Go: two connected sockets per port, a goroutine for each direction, and only the
// standard library. It measures nothing. Reads lines "PORT PEER_PORT" up to end of file, all on 127.0.0.1; argument: the
// echo's port.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

const (
	largestPacket = 2048
	soReusePort   = 15 // not in package syscall
)

func open(port, peer int) (*net.UDPConn, error) {
	dialer := net.Dialer{
		LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(descriptor uintptr) {
				failed = syscall.SetsockoptInt(int(descriptor), syscall.SOL_SOCKET, soReusePort, 1)
			})
			if err != nil {
				return err
			}
			return failed
		},
	}
	conn, err := dialer.DialContext(context.Background(), "udp4", fmt.Sprintf("127.0.0.1:%d", peer))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func forward(from, to *net.UDPConn) {
	packet := make([]byte, largestPacket)
	for {
		// An error is ordinary, from a peer that is not there (ICMP). The kernel reports it once and clears it.
		if size, err := from.Read(packet); err == nil {
			_, _ = to.Write(packet[:size])
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: relay ECHO_PORT")
		os.Exit(2)
	}
	echo, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var port, peer int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &port, &peer); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		source, err := open(port, peer)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		target, err := open(port, echo)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go forward(source, target)
		go forward(target, source)
	}
	fmt.Println("ready")
	select {}
}
