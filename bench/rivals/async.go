// The questions of coroutines, answered by Go's goroutines. Prints one line of JSON.
//
//	async sleepers N
//	async channel one|two ITEMS
//	async life SIDE GENERATIONS
//	async send N                    a question and its answer, through two channels
//	async echo                      prints its port, and serves until it is killed
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func fail(why ...any) {
	fmt.Fprintln(os.Stderr, why...)
	os.Exit(1)
}

func peakKiB() float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		fail(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "VmHWM:" {
			n, _ := strconv.ParseFloat(words[1], 64)
			return n
		}
	}
	return 0
}

func cpu() float64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) * 1e-9
}

func sleepers(n int) {
	var all sync.WaitGroup
	all.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			time.Sleep(100 * time.Millisecond)
			all.Done()
		}()
	}
	all.Wait()
}

func channel(n int) {
	c := make(chan uint64, 1024)
	go func() {
		for i := 0; i < n; i++ {
			c <- uint64(i)
		}
		close(c)
	}()
	sum := uint64(0)
	for i := range c {
		sum += i
	}
	if sum != uint64(n)*uint64(n-1)/2 {
		fail("wrong sum")
	}
}

// As bench/async/life.cpp has it: the same first grid, and the same sum of the living cells.
func neighbours(now []byte, side, cell int) byte {
	y, x := cell/side, cell%side
	count := byte(0)
	for dy := -1; dy <= 1; dy++ {
		for dx := -1; dx <= 1; dx++ {
			if dy != 0 || dx != 0 {
				count += now[(y+dy+side)%side*side+(x+dx+side)%side]
			}
		}
	}
	return count
}

func next(alive, n byte) byte {
	if n == 3 || n == 2 && alive == 1 {
		return 1
	}
	return 0
}

func firstGrid(side int) []byte {
	now := make([]byte, side*side)
	for _, c := range [][2]int{{0, 1}, {0, 2}, {1, 0}, {1, 1}, {2, 1}} {
		now[(side/2+c[0])*side+side/2+c[1]] = 1
	}
	return now
}

func life(side, generations int) {
	now, after, expected := firstGrid(side), make([]byte, side*side), firstGrid(side)
	for g := 0; g < generations; g++ {
		var all sync.WaitGroup
		all.Add(len(now))
		for i := range now {
			go func(cell int) {
				time.Sleep(10 * time.Millisecond)
				n := neighbours(now, side, cell)
				time.Sleep(100 * time.Millisecond)
				after[cell] = next(now[cell], n)
				all.Done()
			}(i)
		}
		all.Wait()
		now, after = after, now
		one := make([]byte, side*side)
		for i := range one {
			one[i] = next(expected[i], neighbours(expected, side, i))
		}
		expected = one
	}
	for i := range now {
		if now[i] != expected[i] {
			fail("wrong grid")
		}
	}
}

func send(n int) {
	questions, answers := make(chan uint64), make(chan uint64)
	sum := uint64(0)
	go func() {
		for i := 0; i < n; i++ {
			questions <- uint64(i)
			sum += <-answers
		}
		close(questions)
	}()
	for q := range questions {
		answers <- q
	}
	if sum != uint64(n)*uint64(n-1)/2 {
		fail("wrong sum")
	}
}

func echo() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		c, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go func() {
			buffer := make([]byte, 4096)
			for {
				n, err := c.Read(buffer)
				if err != nil {
					break
				}
				if _, err = c.Write(buffer[:n]); err != nil {
					break
				}
			}
			c.Close()
		}()
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "echo" {
		echo()
	}
	if len(os.Args) < 3 {
		fail("usage: async sleepers N | channel one|two ITEMS | life SIDE GENERATIONS | send N | echo")
	}
	n, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil {
		fail(err)
	}
	if os.Args[2] == "one" {
		runtime.GOMAXPROCS(1)
	}
	before, start, used := peakKiB(), time.Now(), cpu()
	switch os.Args[1] {
	case "sleepers":
		sleepers(n)
	case "channel":
		channel(n)
	case "life":
		side, err := strconv.Atoi(os.Args[2])
		if err != nil {
			fail(err)
		}
		life(side, n)
	case "send":
		send(n)
	default:
		fail("no such question")
	}
	wall := time.Since(start).Seconds()
	fmt.Printf("{\"items\": %d, \"wall_s\": %g, \"cpu_s\": %g, \"switches\": 0, \"peak_rss_kib\": %g, \"bytes_per_task\": %g}\n",
		n, wall, cpu()-used, peakKiB(), 1024*(peakKiB()-before)/float64(n))
}
